"""The headers of Standard Webhooks 1.0: who sent this, when, and that nobody changed it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import secrets as randomness
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """A fresh secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode("ascii")


def headers(secrets: Sequence[str], message_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` (whole seconds) and `webhook-signature` for one attempt.

    Every secret signs, in the order given, separated by spaces: while a secret is rotated, receivers may hold
    either. `body` is the UTF-8 that is sent, byte for byte. ValueError when there is no secret.
    """
    if not secrets:
        raise ValueError("a message needs at least one secret to be signed with")
    text = body.decode()
    moment = timestamp.astimezone(UTC)  # the package reads the clock's face and takes it for UTC
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, text) for secret in secrets),
    }
