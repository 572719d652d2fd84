"""Probes: is the process alive, and can it serve?"""

from fastapi import APIRouter, Response

from app.api.deps import TheGateway
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
    responses={503: {"model": ReadyView, "description": "Not now: what is missing"}},
    summary="Jobs can be accepted and will be worked on",
)
async def readyz(gateway: TheGateway, response: Response) -> ReadyView:
    """Does the store take jobs, and have workers ever run? 503 says what is missing.

    Workers that are absent for a while, as during their own deployment, are named and do not make this 503: jobs
    are accepted and wait.
    """
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
    missing = sorted(set(ROLES) - set(workers.values()))
    if missing and buying.silent_ms is None:
        return {"status": "not ready", "store": "ok", "workers_missing": missing}
    view: ReadyView = {"status": "ready", "store": "ok", "workers": len(workers)}
    if missing:
        view["workers_missing"] = missing
    view["upstream_paused"] = paused_view(buying.reason_for(""))
    return view
