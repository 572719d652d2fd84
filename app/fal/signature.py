"""Is a webhook really fal's? ED25519 over the raw body, with keys that fal publishes.

The key set is the same for all of fal's customers: a genuine delivery for somebody else verifies too. So the caller
also asks for the marker in the path, and for the request id (facts: fal's documentation and clients, 2026-11).
"""

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.fal.protocol import REQUEST_ID, parse_json

LEEWAY_S = 300
KEEP_S = 3600.0  # fal says up to 24 h; a key that was added is looked for sooner, see below
AGAIN_S = 30.0  # between two looks for keys after a signature that none of them fits
FETCH_SECONDS = 10
ANSWER_LIMIT = 64 * 1024
MOST_KEYS = 20
PREFIX = "x-fal-webhook-"


class KeysUnavailable(Exception):
    """fal's keys cannot be had just now."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook of fal's, verified: which request it is about."""

    request_id: str
    user_id: str


class Verifier:
    """Verifies fal's webhooks; keeps its keys for an hour."""

    def __init__(self, jwks_url: str, *, user_id: str | None) -> None:
        self._web = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=FETCH_SECONDS)
        self._url = jwks_url
        self._user_id = user_id
        self._keys: list[Ed25519PublicKey] = []
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._web.aclose()

    async def verify(self, headers: Mapping[str, str], body: bytes, *, now_s: float) -> Delivery | None:
        """The delivery, or None when it is not fal's, too old, or about another account.

        1. the four headers, in their forms; the time within five minutes
        2. the user id, where we know which it must be
        3. the signature, with any of the keys; with none, fetch the keys again, at most twice a minute
        4. the request id in the body is the one in the header

        Raises:
            KeysUnavailable: there are no keys to verify with.
        """
        request_id, user_id, stamp, signature = (
            headers.get(PREFIX + name, "") for name in ("request-id", "user-id", "timestamp", "signature")
        )
        if not REQUEST_ID.fullmatch(request_id) or not stamp.isdecimal() or len(stamp) > 12:  # noqa: PLR2004  digits
            return None
        if abs(now_s - int(stamp)) > LEEWAY_S or (self._user_id is not None and user_id != self._user_id):
            return None
        try:
            raw = binascii.unhexlify(signature)
        except (binascii.Error, ValueError):
            return None
        message = "\n".join((request_id, user_id, stamp, hashlib.sha256(body).hexdigest())).encode()
        if not _fits(await self._known_keys(KEEP_S), raw, message) and not _fits(
            await self._known_keys(AGAIN_S), raw, message
        ):
            return None
        told = parse_json(body)
        if not isinstance(told, dict) or told.get("request_id") != request_id:
            return None
        return Delivery(request_id, user_id)

    async def _known_keys(self, age_s: float) -> list[Ed25519PublicKey]:
        """The keys, not older than so many seconds where fal answers."""
        async with self._lock:
            if time.monotonic() - self._fetched >= age_s:
                fetched = await self._fetch()
                if fetched:
                    self._keys, self._fetched = fetched, time.monotonic()
                elif self._keys:  # fal's old keys are better than none; do not ask at every delivery
                    self._fetched = time.monotonic() - KEEP_S + AGAIN_S
            if not self._keys:
                raise KeysUnavailable
            return self._keys

    async def _fetch(self) -> list[Ed25519PublicKey]:
        """Fal's published keys; empty when the answer cannot be used."""
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._web.stream("GET", self._url) as answer:
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > ANSWER_LIMIT:
                        return []
        except (httpx.HTTPError, TimeoutError):
            return []
        told = parse_json(bytes(body)) if answer.status_code == httpx.codes.OK else None
        found = told.get("keys") if isinstance(told, dict) else None
        listed = found[:MOST_KEYS] if isinstance(found, list) else []
        return [key for key in map(_read_key, listed) if key is not None]


def _read_key(jwk: Any) -> Ed25519PublicKey | None:
    """An ED25519 key of a JWK set; None for anything else."""
    if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
        return None
    x = jwk.get("x")
    if not isinstance(x, str):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    except ValueError:
        return None


def _fits(keys: list[Ed25519PublicKey], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False
