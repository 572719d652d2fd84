"""Is a webhook really fal's? ED25519 over the raw body, with keys that fal publishes.

The key set is the same for all of fal's customers: a genuine delivery for somebody else verifies too. So the caller
also asks for the marker in the path, and for the request id (facts: fal's documentation and clients, 2026-11).
"""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.fal.protocol import REQUEST_ID, parse_json
from app.fal.web import OutboundRoute, plain_transport

LEEWAY_S = 300
FRESH_S = 3600.0  # fal says up to 24 h; a key that was added is looked for sooner, see below
AGAIN_S = 30.0  # between two looks for keys, whatever they and the deliveries are like
KEPT_S = 86_400.0  # keys that fal does not confirm any more; fal's own limit for a copy
FETCH_SECONDS = 5  # all of it; fal gives a first delivery 15 s, and this is one part of taking it
ANSWER_LIMIT = 64 * 1024
MOST_KEYS = 20
PREFIX = "x-fal-webhook-"
FORMS = {
    "request-id": REQUEST_ID,
    "user-id": re.compile(r"[!-~]{1,200}"),
    "timestamp": re.compile(r"[0-9]{1,12}"),
    "signature": re.compile(r"[0-9a-fA-F]{128}"),
}
COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}=?")  # 32 bytes


class KeysUnavailable(Exception):
    """fal's keys cannot be had just now."""


class NotGenuine(Exception):
    """The delivery is not fal's, or not about our account; the reason is a stable word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """A webhook of fal's, verified: which request has ended, whose it is, and whether fal calls it a failure."""

    request_id: str
    user_id: str
    failed: bool = False


class Verifier:
    """Verifies fal's webhooks; keeps its keys for an hour, and for a day while fal gives no usable answer.

    `user_id` is the fal account that deliveries must be about, where the operator has told; `clock` counts seconds;
    `way` is how calls leave.
    """

    def __init__(
        self,
        jwks_url: str,
        *,
        user_id: str | None,
        clock: Callable[[], float] = time.monotonic,
        route: OutboundRoute | None = None,
    ) -> None:
        self._web = httpx.AsyncClient(
            transport=plain_transport(route or OutboundRoute()),
            follow_redirects=False,
            trust_env=False,
            timeout=FETCH_SECONDS,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )
        self._url = jwks_url
        self._user_id = user_id
        self._clock = clock
        self._keys: list[Ed25519PublicKey] = []
        self._fetched = self._looked = float("-inf")
        self._lock = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._web.aclose()

    async def verify(self, headers: Iterable[tuple[str, str]], body: bytes, *, now_s: float) -> VerifiedWebhook:
        """The delivery. `headers` are all pairs, names in lower case; `body` is as it came; `now_s` is unix time.

        1. the four headers, each once, in their forms; the time within five minutes
        2. the user id, where we know which it must be
        3. the signature, with any of the keys; with none, look for new keys, at most twice a minute
        4. the request id in the body is the one in the header

        Raises:
            NotGenuine: one of these is wrong.
            KeysUnavailable: there are no keys to verify with.
        """
        request_id, user_id, stamp, signature = _read_headers(headers)
        if abs(now_s - int(stamp)) > LEEWAY_S:
            raise NotGenuine("time")
        if self._user_id is not None and user_id != self._user_id:
            raise NotGenuine("user")
        raw = bytes.fromhex(signature)
        message = "\n".join((request_id, user_id, stamp, hashlib.sha256(body).hexdigest())).encode()
        if not _fits(await self._keys_of_fal(FRESH_S), raw, message) and not _fits(
            await self._keys_of_fal(AGAIN_S), raw, message
        ):
            raise NotGenuine("signature")
        told = parse_json(body)
        if not isinstance(told, dict) or told.get("request_id") != request_id:
            raise NotGenuine("body")
        return VerifiedWebhook(request_id, user_id, failed=told.get("status") == "ERROR")

    async def _keys_of_fal(self, age_s: float) -> list[Ed25519PublicKey]:
        """The keys, not older than so many seconds where fal answers.

        One look at a time: who comes meanwhile and needs it waits for it, and does not look again.
        """
        if self._must_look(age_s):
            async with self._lock:
                if self._must_look(age_s):
                    await self._look()
        if not self._keys or self._clock() - self._fetched > KEPT_S:
            raise KeysUnavailable
        return self._keys

    def _must_look(self, age_s: float) -> bool:
        now = self._clock()
        return now - self._fetched >= age_s and now - self._looked >= AGAIN_S

    async def _look(self) -> None:
        """Fetch the keys; an answer that cannot be used leaves the old ones, and is a look all the same."""
        try:
            if fetched := await self._fetch():
                self._keys, self._fetched = fetched, self._clock()
        finally:
            self._looked = self._clock()

    async def _fetch(self) -> list[Ed25519PublicKey]:
        """Fal's published keys; empty when the answer cannot be used."""
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._web.stream("GET", self._url) as answer:
                if answer.status_code != httpx.codes.OK:
                    return []
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > ANSWER_LIMIT:
                        return []
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError):
            return []
        told = parse_json(bytes(body))
        listed = told.get("keys") if isinstance(told, dict) else None
        found = map(_read_key, listed if isinstance(listed, list) else [])
        return [key for key in found if key is not None][:MOST_KEYS]


def _read_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Request id, user id, time and signature, each given once and in its form; NotGenuine otherwise."""
    pairs = list(headers)
    found = []
    for name, form in FORMS.items():
        values = [value for given, value in pairs if given == PREFIX + name]
        if len(values) != 1 or not form.fullmatch(values[0]):
            raise NotGenuine("headers")
        found += values
    return found


def _read_key(jwk: Any) -> Ed25519PublicKey | None:
    """An ED25519 key of a JWK set (RFC 8037); None for anything else."""
    if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
        return None
    x = jwk.get("x")
    if not isinstance(x, str) or not COORDINATE.fullmatch(x):
        return None
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x.rstrip("=") + "="))
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
