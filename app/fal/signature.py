"""Verifies that a webhook is fal's: ED25519 over the raw body, with keys that fal publishes.

All of fal's customers share the key set, so a genuine webhook for another customer verifies too. The caller
therefore also checks the marker in the path and the request id (fal's documentation and clients, 2026-11).
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
from app.fal.web import FalAnswerTooLarge, OutboundRoute, plain_transport, read_answer

LEEWAY_S = 300
FRESH_S = 3600.0  # fal allows 24 h; for an unknown signature they are fetched sooner, see below
MIN_INTERVAL_S = 30.0  # between two fetches, whatever their outcome
MAX_AGE_S = 86_400.0  # of keys that cannot be fetched again; fal's own limit for a copy
FETCH_SECONDS = 5  # in all; fal waits 15 s for the reply to a first delivery
ANSWER_LIMIT = 64 * 1024
MAX_KEYS = 20
PREFIX = "x-fal-webhook-"
FORMS = {
    "request-id": REQUEST_ID,
    "user-id": re.compile(r"[!-~]{1,200}"),
    "timestamp": re.compile(r"[0-9]{1,12}"),
    "signature": re.compile(r"[0-9a-fA-F]{128}"),
}
COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}=?")  # 32 bytes


class KeysUnavailable(Exception):
    """fal's keys cannot be fetched at the moment."""


class NotGenuine(Exception):
    """The webhook is not fal's, or not about our account; the reason is a stable word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """A verified webhook of fal's: which request has ended, its account, and whether it failed."""

    request_id: str
    user_id: str
    failed: bool = False


class Verifier:
    """Verifies fal's webhooks; caches its keys for an hour, and for a day while they cannot be fetched.

    `user_id` is the fal account that webhooks must be about, if configured; `clock` counts seconds.
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
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._web.aclose()

    async def verify(self, headers: Iterable[tuple[str, str]], body: bytes, *, now_s: float) -> VerifiedWebhook:
        """The webhook. `headers` are all pairs, names in lower case; `body` is as it arrived; `now_s` is unix time.

        1. the four headers, each once and well-formed; the time within five minutes
        2. the user id, if it is configured
        3. the signature, by any key; if by none, by keys fetched anew, at most twice a minute
        4. the request id in the body equals the header's

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
        for age_s in (FRESH_S, MIN_INTERVAL_S):
            if _is_signed_by(await self._keys_within(age_s), raw, message):
                break
        else:
            raise NotGenuine("signature")
        content = parse_json(body)
        if not isinstance(content, dict) or content.get("request_id") != request_id:
            raise NotGenuine("body")
        return VerifiedWebhook(request_id, user_id, failed=content.get("status") == "ERROR")

    async def _keys_within(self, age_s: float) -> list[Ed25519PublicKey]:
        """The keys, at most so many seconds old if fal answers; concurrent calls wait for one fetch."""
        if self._may_fetch(age_s):
            async with self._lock:
                if self._may_fetch(age_s):
                    await self._refresh()
        if not self._keys or self._clock() - self._fetched > MAX_AGE_S:
            raise KeysUnavailable
        return self._keys

    def _may_fetch(self, age_s: float) -> bool:
        now = self._clock()
        return now - self._fetched >= age_s and now - self._tried >= MIN_INTERVAL_S

    async def _refresh(self) -> None:
        """Fetch the keys; after an unusable answer the old ones are kept."""
        try:
            if fetched := await self._fetch():
                self._keys, self._fetched = fetched, self._clock()
        finally:
            self._tried = self._clock()

    async def _fetch(self) -> list[Ed25519PublicKey]:
        """Fal's published keys; empty when the answer cannot be used."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                status, body, _ = await read_answer(self._web, "GET", self._url, limit=ANSWER_LIMIT)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError, FalAnswerTooLarge):
            return []
        key_set = parse_json(body) if status == httpx.codes.OK else None
        listed = key_set.get("keys") if isinstance(key_set, dict) else None
        keys = map(_read_key, listed if isinstance(listed, list) else [])
        return [key for key in keys if key is not None][:MAX_KEYS]


def _read_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Request id, user id, time and signature; NotGenuine unless each is given once and well-formed."""
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


def _is_signed_by(keys: list[Ed25519PublicKey], signature: bytes, message: bytes) -> bool:
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return True
    return False
