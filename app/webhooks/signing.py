"""Signs webhooks: as Standard Webhooks 1.0, or in the form of fal's own webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import secrets as randomness
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from app.domain.deliveries import Delivery
from app.domain.endpoints import Secret, active_secrets
from app.domain.events import Event

SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """A fresh secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode("ascii")


def signature_headers(
    delivery: Delivery, body: bytes, now: datetime, *, secrets: Sequence[Secret], key: Ed25519PrivateKey | None
) -> dict[str, str]:
    """The headers of this attempt, signed with the endpoint's or team's secrets, or in fal's form with `key`.

    `key` is the installation's, given when the form or the endpoint requires its signature.
    """
    if key is not None and delivery.style == "fal" and isinstance(delivery.event, Event):
        return fal_headers(key, request_id=delivery.event.job.id, user_id=delivery.team, timestamp=now, body=body)
    return headers(active_secrets(secrets, round(now.timestamp() * 1000)), delivery.id, now, body, private_key=key)


def headers(
    secrets: Sequence[str],
    message_id: str,
    timestamp: datetime,
    body: bytes,
    *,
    private_key: Ed25519PrivateKey | None = None,
) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (whole seconds) and `webhook-signature` for one attempt.

    Every secret signs (`v1`), in the given order, and then the private key (`v1a`), separated by spaces: during a
    rotation, receivers may have either secret. `body` is the UTF-8 that is sent. ValueError without a secret or
    key.
    """
    if not secrets and private_key is None:
        raise ValueError("a message needs at least one secret to be signed with")
    text = body.decode()
    moment = timestamp.astimezone(UTC)  # the package ignores the zone and assumes UTC
    stamp = _seconds(timestamp)
    signatures = [Webhook(secret).sign(message_id, moment, text) for secret in secrets]
    if private_key is not None:
        signed = private_key.sign(f"{message_id}.{stamp}.{text}".encode())
        signatures.append("v1a," + base64.b64encode(signed).decode("ascii"))
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": " ".join(signatures)}


def fal_headers(
    private_key: Ed25519PrivateKey, *, request_id: str, user_id: str, timestamp: datetime, body: bytes
) -> dict[str, str]:
    """The four headers of a webhook in fal's form; receivers verify it as fal's, with our `jwks`.

    The ED25519 signature, in hex, is over request id, user id, unix time and the SHA-256 of the body in hex, joined
    by newlines.
    """
    stamp = _seconds(timestamp)
    message = "\n".join((request_id, user_id, stamp, hashlib.sha256(body).hexdigest()))
    return {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": user_id,
        "X-Fal-Webhook-Timestamp": stamp,
        "X-Fal-Webhook-Signature": private_key.sign(message.encode()).hex(),
    }


def jwks(private_key: Ed25519PrivateKey) -> dict[str, list[dict[str, str]]]:
    """The public half as a JWK set (RFC 8037), twice: `x` as RFC 7515 writes it, and then padded with `=`.

    The verifier for Python that fal documents reads only the padded form, and Go's raw decoder only the other; both
    try every key. Each `kid` is the thumbprint (RFC 7638) of its members as they are written, so they differ.
    """
    plain = _base64url(private_key.public_key().public_bytes_raw())
    return {"keys": [_jwk(coordinate) for coordinate in (plain, plain + "=")]}


def _jwk(coordinate: str) -> dict[str, str]:
    required = f'{{"crv":"Ed25519","kty":"OKP","x":"{coordinate}"}}'
    kid = _base64url(hashlib.sha256(required.encode()).digest())
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": coordinate}


def public_text(private_key: Ed25519PrivateKey) -> str:
    """The public half in Standard Webhooks' form: `whpk_` and 32 bytes in base64."""
    return "whpk_" + base64.b64encode(private_key.public_key().public_bytes_raw()).decode("ascii")


def _seconds(timestamp: datetime) -> str:
    return str(int(timestamp.timestamp()))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
