"""Is the process alive, and can it serve?"""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from app.api.deps import TheGateway, known_query
from app.domain.errors import StoreUnavailable
from app.domain.views import paused_view
from app.store.dispatch import ROLES

router = APIRouter(tags=["operations"], dependencies=[Depends(known_query)])


@router.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    """No I/O: when this fails, restart the process."""
    return {"status": "alive"}


@router.get("/readyz", summary="Jobs can be accepted and will be worked on")
async def readyz(owner: TheGateway) -> Response:
    """Does the store take jobs, and have workers ever been there? 503 says what is missing.

    Workers that are away for a while, as in their own deployment, are told of and are no reason to turn callers
    away: jobs are accepted, and wait.
    """
    state = await owner.health.state()
    if state != "ok":
        return JSONResponse({"status": "not ready", "store": state}, 503)
    try:
        workers = await owner.dispatch.workers()
        buying = await owner.buying.state()
    except StoreUnavailable:
        return JSONResponse({"status": "not ready", "store": "away"}, 503)
    missing = sorted(set(ROLES) - set(workers.values()))
    if missing and buying.silent_ms is None:
        return JSONResponse({"status": "not ready", "store": "ok", "workers_missing": missing}, 503)
    seen: dict[str, Any] = {"status": "ready", "store": "ok", "workers": len(workers)}
    if missing:
        seen["workers_missing"] = missing
    return JSONResponse({**seen, "upstream_paused": paused_view(buying.reason_for(""))})
