"""Is the process alive, and can it serve?"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from app.api.deps import TheGateway
from app.domain.errors import StoreUnavailable
from app.domain.views import paused_view

router = APIRouter(tags=["operations"])


@router.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    """No I/O: when this fails, restart the process."""
    return {"status": "alive"}


@router.get("/readyz", summary="Jobs can be accepted and will be worked on")
async def readyz(owner: TheGateway) -> Response:
    """Is the store there, and is any worker alive? 503 says what is missing."""
    try:
        workers = await owner.dispatch.workers()
    except StoreUnavailable:
        return JSONResponse({"status": "not ready", "store": "away"}, 503)
    missing = sorted({"lanes", "work", "deliveries"} - set(workers.values()))
    if missing:
        return JSONResponse({"status": "not ready", "store": "ok", "workers_missing": missing}, 503)
    paused = paused_view(await owner.operations.paused(""))
    return JSONResponse({"status": "ready", "store": "ok", "workers": len(workers), "upstream_paused": paused})
