"""fal's own webhooks."""

from fastapi import APIRouter, Request

from app.api.deps import TheGateway
from app.api.document_responses import NO_CONTENT
from app.domain.marker import Marker

router = APIRouter(include_in_schema=False)


@router.post("/fal/hooks/{job}/{nonce}/{mac}", **NO_CONTENT)
async def receive_webhook(job: str, nonce: str, mac: str, request: Request, gateway: TheGateway) -> None:
    """A webhook of fal's: 204 when accepted, 401 or 404 when it is not fal's or not for us."""
    await gateway.fal_webhooks.receive(Marker(job, nonce, mac), request.headers.items(), await request.body())
