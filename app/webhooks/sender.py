"""One attempt to deliver a message, and when the next one is due."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

import httpx
import structlog

from app import __version__
from app.domain.deliveries import (
    ATTEMPT_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    MAX_BODY_KEPT_BYTES,
    MAX_BODY_READ_BYTES,
    MAX_LOCATION_CHARS,
)
from app.domain.times import until_http_date
from app.egress import EgressPolicy, ForbiddenTarget
from app.webhooks.failures import code_of, reason_of
from app.webhooks.transport import (
    AnswerLimit,
    AnswerTooLarge,
    GuardedTransport,
    Resolver,
    guarded_client,
    resolve,
)

AttemptOutcome: TypeAlias = Literal["delivered", "retry", "gone", "refused"]

log = structlog.get_logger()

_SLOW_DOWN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt.

    - `delivered`: a 2xx.
    - `retry`: a failure that may not repeat.
    - `gone`: the receiver does not want this message. Status 410 also disables the webhook endpoint; the header
      `webhook-delivery: abort-message` on a failure stops only this message.
    - `refused`: the URL is not allowed, and nothing was sent. Attempts continue, because names move and the
      operator may allow it.

    `status` is None without an answer. `answer` is the beginning of the body, at most 4 KB; for a redirect it
    begins with the location, and without an answer it is a sentence that says why, where that is known. `error` is
    `timeout`, `connect`, `tls`, `forbidden_target`, `redirect`, `too_large` (the answer) or `protocol`.
    `retry_after` is in seconds, from a 429, 502, 503 or 504.
    """

    status: int | None
    outcome: AttemptOutcome
    duration_ms: int
    answer: str
    error: str | None
    retry_after: int | None


@dataclass(slots=True)
class _Answer:
    """What has arrived so far, which is used even if the rest never does."""

    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    location: str = ""
    body: bytearray = field(default_factory=bytearray)
    reason: str = ""


class Sender:
    """Sends messages through the address guard.

    `tls` replaces the trusted roots, `resolver` the system's name servers.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        total_timeout: float = ATTEMPT_TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._total = total_timeout
        self._client = guarded_client(GuardedTransport(policy, tls=tls, resolver=resolver), total=total_timeout)

    async def send(
        self,
        url: str,
        *,
        body: bytes,
        signature: Mapping[str, str],
        now: datetime,
        traceparent: str | None = None,
    ) -> Attempt:
        """Posts `body` (JSON) once, within `total_timeout` seconds; never raises for a failure.

        `signature` are the headers that identify and sign this attempt, `traceparent` one more (W3C Trace Context).
        Redirects are failures. Once a status line has arrived it decides, however the rest of the answer ends.
        """
        began = time.monotonic()
        answer = _Answer()
        error = retry_after = None
        headers = {
            **signature,
            "Content-Type": "application/json",
            "User-Agent": f"Filmgate/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",  # with a raw read, nothing is ever unpacked
        }
        if traceparent is not None:
            headers["traceparent"] = traceparent
        try:
            error = await self._exchange(url, headers, body, answer)
            retry_after = _retry_after(answer, now)
        except Exception:  # an attempt that is not recorded would be repeated without end
            log.exception("webhook.send_broke")
            error = "protocol"
        duration_ms = round((time.monotonic() - began) * 1000)
        kept = bytes(answer.body[:MAX_BODY_KEPT_BYTES]).decode(errors="replace")
        outcome, error = _judge(answer, error)
        if error == "redirect":
            kept = f"{_location(answer)}{kept}"[:MAX_BODY_KEPT_BYTES]
        if answer.status is None:
            kept = answer.reason[:MAX_BODY_KEPT_BYTES]
        return Attempt(answer.status, outcome, duration_ms, kept, error, retry_after)

    async def aclose(self) -> None:
        """Closes the client."""
        await self._client.aclose()

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes, answer: _Answer) -> str | None:
        """Fills `answer`; returns the code of an error, or None."""
        try:
            async with asyncio.timeout(self._total):  # httpx's own timeouts apply to each read
                await self._post(url, headers, body, answer)
        except (
            OSError,
            httpx.HTTPError,
            httpx.InvalidURL,
            UnicodeError,
            ForbiddenTarget,
            AnswerTooLarge,
        ) as exception:
            answer.reason = reason_of(exception)
            return code_of(exception)  # UnicodeError: an invalid IDNA name
        return None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, answer: _Answer) -> None:
        limit = AnswerLimit(MAX_ANSWER_BYTES)
        extensions = {"trace": limit.watch}
        post = self._client.stream("POST", url, content=body, headers=headers, extensions=extensions)
        try:
            async with post as response:
                answer.status = response.status_code
                answer.headers = response.headers
                answer.location = response.extensions["location"]
                async for chunk in response.aiter_raw():
                    answer.body += chunk[: MAX_BODY_READ_BYTES - len(answer.body)]
                    if len(answer.body) == MAX_BODY_READ_BYTES:
                        break
        finally:
            await limit.close()


def _judge(answer: _Answer, error: str | None) -> tuple[AttemptOutcome, str | None]:
    """The outcome and the error code."""
    status = answer.status
    if status is None:
        return ("refused" if error == "forbidden_target" else "retry"), error
    if httpx.codes.is_success(status):
        return "delivered", None
    aborted = answer.headers.get("webhook-delivery", "").strip().lower() == "abort-message"
    outcome: AttemptOutcome = "gone" if aborted or status == httpx.codes.GONE else "retry"
    return outcome, "redirect" if httpx.codes.is_redirect(status) else error


def _location(answer: _Answer) -> str:
    """A redirect's location as a line; it is shown, not followed."""
    text = "".join(one for one in answer.location[:MAX_LOCATION_CHARS] if one.isprintable())
    return f"Location: {text}\n" if text else ""


def _retry_after(answer: _Answer, now: datetime) -> int | None:
    """Seconds from `now`, from a number or an HTTP date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "").strip()
    if answer.status not in _SLOW_DOWN or not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text[:9])
    seconds = until_http_date(text, now)
    return None if seconds is None else round(seconds)
