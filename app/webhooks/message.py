"""The headers that sign a delivery."""

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.deliveries import Delivery
from app.domain.endpoints import Secret, active_secrets
from app.domain.events import Event
from app.webhooks.signing import fal_headers, headers


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
    return headers(active_secrets(secrets, round(now.timestamp() * 1000)), delivery.id, now, body, private_key=key)
