"""Probes: is the process alive, and can it serve?"""

from fastapi import APIRouter, Request, Response

from app.api.deps import TheGateway
from app.api.stopping import is_draining
from app.domain.errors import StoreUnavailable
from app.domain.heartbeats import ROLES
from app.gateway import Gateway
from app.views.jobs import paused_view
from app.views.operations import LiveView, ReadyView

router = APIRouter(tags=["operations"])


@router.get("/livez", summary="The process answers")
async def livez() -> LiveView:
    """No I/O: when this fails, restart the process."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    responses={503: {"model": ReadyView, "description": "Not now, and why"}},
    summary="This process can do its work",
)
async def readyz(request: Request, gateway: TheGateway, response: Response) -> ReadyView:
    """For a balancer: 503 while the store is away or accepts no jobs, and `draining` before this process stops.

    It is about this process alone. Workers that are missing are named and do not make it 503: jobs are accepted and
    wait. Workers have `filmgate ready worker`.
    """
    view: ReadyView = {"status": "draining"}
    if not is_draining(request.scope.get("state", {})):
        view = await _readiness(gateway)
    response.status_code = 200 if view["status"] == "ready" else 503
    return view


async def _readiness(gateway: Gateway) -> ReadyView:
    state = await gateway.stores.health.state()
    if state != "ok":
        return {"status": "not ready", "store": state}
    try:
        workers = await gateway.stores.heartbeats.workers()
        buying = await gateway.stores.buying.state()
    except StoreUnavailable:
        return {"status": "not ready", "store": "away"}
    view: ReadyView = {"status": "ready", "store": "ok", "workers": len(workers)}
    if missing := sorted(set(ROLES) - set(workers.values())):
        view["workers_missing"] = missing
    view["upstream_paused"] = paused_view(buying.reason_for(""))
    return view
