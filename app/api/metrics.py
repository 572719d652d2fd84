"""/metrics: what Prometheus scrapes."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response

from app.api.deps import TheGateway, administrator
from app.api.incoming import PAYER
from app.api.middleware import address_of
from app.api.query import require_known_parameters
from app.api.reads import Reads, reads
from app.metrics.port import is_token

SCRAPER = "metrics"

router = APIRouter(tags=["operations"])


@reads(Reads(key=True))
async def scraper(request: Request, gateway: TheGateway) -> None:
    """Who has FILMGATE_METRICS_TOKEN, or the administrator's key; Forbidden for every other key."""
    token, given = gateway.settings.metrics_token, request.headers.get("authorization")
    if token is not None and given is not None:
        gateway.accounts.bad_keys.require_room(address_of(request.scope))  # an operator chose it: it may be guessed
        if is_token(given, token):
            require_known_parameters(request)
            request.scope[PAYER] = SCRAPER
            return
    await administrator(request, gateway)


@router.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus")
async def read_metrics(request: Request, gateway: TheGateway, _: Annotated[None, Depends(scraper)]) -> Response:
    """What this process has counted and, from one process at a time, the whole installation (docs/metrics.md)."""
    page = await gateway.metrics.page(request.headers.get("accept", ""))
    return Response(page.body, headers={"Content-Type": page.content_type, "Cache-Control": "no-store"})
