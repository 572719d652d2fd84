"""fal's own webhooks."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.deps import TheGateway
from app.domain.marker import Marker

router = APIRouter(include_in_schema=False)


@router.post("/fal/hooks/{job}/{nonce}/{mac}", status_code=204, response_class=Response)
async def receive_webhook(job: str, nonce: str, mac: str, request: Request, gateway: TheGateway) -> None:
    """A delivery of fal's: 204 when it was taken, 401 and 404 when it is not fal's or not for us."""
    await gateway.fal_webhooks.receive(Marker(job, nonce, mac), request.headers.items(), await request.body())
