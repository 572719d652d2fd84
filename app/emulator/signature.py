"""fal's webhook signature: ED25519 over request id, user, time and the body's hash."""

import base64
import hashlib
import os
from pathlib import Path

try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:  # webhooks are then unsigned, and the emulator prints that at its start
    Ed25519PrivateKey = None  # type: ignore[assignment,misc]  # a class or None: `can_sign` says which

can_sign = Ed25519PrivateKey is not None
SEED_BYTES = 32


class SigningKeys:
    """The published keys; the newest one signs."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._seeds = [seed or os.urandom(SEED_BYTES)]

    @classmethod
    def kept_in(cls, path: Path) -> "SigningKeys":
        """The key in a file, made on first use: receivers cache a JWK set for up to a day."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(SEED_BYTES))
        return cls(path.read_bytes())

    def rotate(self) -> None:
        """Signs with a new key; the older ones stay published."""
        self._seeds.append(os.urandom(SEED_BYTES))

    def sign(self, *, request_id: str, user_id: str, timestamp: int, body: bytes) -> str:
        """The hex signature over `request_id`, `user_id`, `timestamp` (unix seconds) and the raw body."""
        digest = hashlib.sha256(body).hexdigest()
        message = f"{request_id}\n{user_id}\n{timestamp}\n{digest}".encode()
        return Ed25519PrivateKey.from_private_bytes(self._seeds[-1]).sign(message).hex()

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set."""
        if not can_sign:
            return {"keys": []}
        publics = (Ed25519PrivateKey.from_private_bytes(seed).public_key() for seed in self._seeds)
        return {"keys": [_jwk(public.public_bytes_raw()) for public in publics]}


def _jwk(public: bytes) -> dict[str, str]:
    coordinate = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": coordinate}
