"""What a delivery says, byte for byte, and the headers that sign it."""

import json
from datetime import datetime
from typing import Any

from app.domain.events import Event
from app.domain.fal_views import ending
from app.domain.fal_webhook import fal_message
from app.domain.views import event_view, notice_view
from app.domain.webhooks import Endpoint, signing
from app.gateway import Gateway
from app.store.accounts import Team
from app.store.webhooks import Delivery
from app.webhooks.signing import fal_headers, headers

MOST_BYTES = 20_000  # Standard Webhooks asks for messages below 20 KB


def message_body(delivery: Delivery, *, base_url: str) -> bytes:
    """The message: the same bytes in every attempt. One that is too large leaves out what GET shows as well."""
    event = delivery.event
    if not isinstance(event, Event):
        return _written(notice_view(event))
    if delivery.style == "fal" and (end := ending(event.job, event.at_ms)) is not None:
        return _written(fal_message(event.job.id, end))
    view = event_view(event, base_url=base_url)
    body = _written(view)
    if len(body) > MOST_BYTES:
        view["data"]["logs"] = []
        body = _written(view)
    if len(body) > MOST_BYTES and view["data"]["error"] is not None:
        view["data"]["error"].pop("upstream", None)
        body = _written(view)
    return body


async def signed(
    gateway: Gateway, delivery: Delivery, team: Team, endpoint: Endpoint | None, body: bytes, now: datetime
) -> dict[str, str]:
    """The headers of this attempt: with the endpoint's or the team's secrets, or in fal's form."""
    if delivery.style == "fal" and isinstance(delivery.event, Event):
        key = await gateway.secrets.of_webhooks()
        job_id = delivery.event.job.id
        return fal_headers(key, request_id=job_id, user_id=team.id, timestamp=now, body=body)
    secrets = signing(team.secrets if endpoint is None else endpoint.secrets, round(now.timestamp() * 1000))
    asymmetric = endpoint is not None and endpoint.asymmetric
    private_key = await gateway.secrets.of_webhooks() if asymmetric else None
    return headers(secrets, delivery.id, now, body, private_key=private_key)


def _written(view: dict[str, Any]) -> bytes:
    return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
