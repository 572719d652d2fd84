"""What a delivery says, byte for byte, and the headers that sign it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.deliveries import MAX_MESSAGE_BYTES, Delivery
from app.domain.endpoints import Secret, signing
from app.domain.events import Event
from app.domain.fal_views import ending
from app.domain.fal_webhook import fal_message
from app.domain.views import event_view, notice_view
from app.webhooks.signing import fal_headers, headers


def message_body(delivery: Delivery, *, base_url: str) -> bytes:
    """The message: the same bytes in every attempt. One that is too large leaves out what GET shows as well."""
    event = delivery.event
    if not isinstance(event, Event):
        return _written(notice_view(event))
    if delivery.style == "fal" and (end := ending(event.job, event.at_ms)) is not None:
        return _written(fal_message(event.job.id, end))
    view = event_view(event, base_url=base_url)
    body = _written(view)
    if len(body) > MAX_MESSAGE_BYTES:
        view["data"]["logs"] = []
        body = _written(view)
    if len(body) > MAX_MESSAGE_BYTES and view["data"]["error"] is not None:
        view["data"]["error"].pop("upstream", None)
        body = _written(view)
    return body


def signed(
    delivery: Delivery,
    body: bytes,
    now: datetime,
    *,
    secrets: Sequence[Secret],
    key: Ed25519PrivateKey | None,
) -> dict[str, str]:
    """The headers of this attempt: with the endpoint's or the team's secrets, or in fal's form with `key` alone.

    `key` is the installation's, where the form or the endpoint asks for its signature.
    """
    if key is not None and delivery.style == "fal" and isinstance(delivery.event, Event):
        return fal_headers(key, request_id=delivery.event.job.id, user_id=delivery.team, timestamp=now, body=body)
    return headers(signing(secrets, round(now.timestamp() * 1000)), delivery.id, now, body, private_key=key)


def _written(view: dict[str, Any]) -> bytes:
    return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
