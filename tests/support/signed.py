"""Signs webhooks as fal does, written from its documentation, independently of the emulator's code."""

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.receiver import Reply

PREFIX = "x-fal-webhook-"
USER = "user_test"


@dataclass(frozen=True)
class Signer:
    """One key pair of fal's."""

    seed: bytes = bytes(range(32))

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def jwk(self) -> dict[str, str]:
        """The public half, as fal publishes it."""
        raw = self._key.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}

    def headers(self, request_id: str, body: bytes, *, at: int | None = None, user: str = USER) -> dict[str, str]:
        """The four headers of a delivery at this unix time, by default now."""
        stamp = str(round(time.time()) if at is None else at)
        message = "\n".join((request_id, user, stamp, hashlib.sha256(body).hexdigest()))
        return {
            PREFIX + "request-id": request_id,
            PREFIX + "user-id": user,
            PREFIX + "timestamp": stamp,
            PREFIX + "signature": self._key.sign(message.encode()).hex(),
        }


def webhook_body(request_id: str, **more: Any) -> bytes:
    """The body of a delivery about this request: a success, unless `more` replaces members."""
    payload = {"video": {"url": "https://v3b.fal.media/files/b/0a/x.mp4"}}
    output = {"request_id": request_id, "gateway_request_id": request_id, "status": "OK", "payload": payload}
    return json.dumps({**output, **more}).encode()


def jwks_reply(*keys: Signer | dict[str, Any]) -> Reply:
    """The answer of `/.well-known/jwks.json` with these keys."""
    rows = [key.jwk if isinstance(key, Signer) else key for key in keys]
    return Reply(
        200, {"Content-Type": "application/json", "Connection": "close"}, json.dumps({"keys": rows}).encode()
    )
