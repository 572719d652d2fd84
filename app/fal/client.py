"""fal's queue as the gateway uses it: one attempt a call, total deadlines, capped answers, no redirects.

The submit call opens a connection of its own: on a kept one, a server that closes it at the wrong moment would
leave us not knowing whether $1.40 was spent. Polls share kept connections over aiohttp's transport, which costs
an eighth of the CPU of httpx's own (docs/decisions/0007).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import structlog

from app.domain.errors import UpstreamUnavailable
from app.domain.fal_addresses import FalHosts, origin_of
from app.domain.foreign_json import read_error_type
from app.fal.billing import IDS_AT_ONCE, PAGE, PAGES, Bill, BillingEvent, events_query, read_page, sum_up
from app.fal.errors import Outgoing, UnusableAnswer, cause_of, classify_answer, classify_exception, unreachable
from app.fal.history import HISTORY_PAGE, HISTORY_PAGES, HistoryRequest, RequestListing, history_query, read_history
from app.fal.protocol import (
    REQUEST_ID,
    Result,
    StatusReport,
    SubmitAccepted,
    SubmitRefused,
    SubmitReply,
    names_odd_urls,
    parse_json,
    read_progress,
    request_url,
)
from app.fal.web import OutboundRoute, kept_transport, plain_transport

ANSWER_LIMIT = 1_000_000  # bytes
SUBMIT_SECONDS = 30
POLL_SECONDS = 10
CANCEL_ABANDONED_SECONDS = 3  # whoever lets go has other work
RESULT_SECONDS = 10
UPLOAD_SECONDS = 120
PIECE = 256 * 1024  # bytes
BILL_SECONDS = 4  # all pages of one bill: shorter than a lane's slice, which it must not outlive
HISTORY_SECONDS = 4  # all pages of one listing, for the same reason
HISTORY_LIMIT = 8_000_000  # bytes; a page has a hundred payloads, and prompts may be long and not in Latin letters
CONNECT_SECONDS = 5
KEPT = 200  # connections
SAY_AGAIN_S = 30.0  # of a way that stays closed
# A read that got nowhere. The transport does not translate all of aiohttp's errors: an answer that is not HTTP.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, TimeoutError, UnicodeError)
NOT_FOUND = 404
OK = 200

log = structlog.get_logger()


class FalClient:
    """Calls fal. `key` is fal's key; without one, every call that needs it is refused before it is made.

    `admin_key` may read the bill and the history at `api_url`; it goes nowhere else. `media_hosts` are places
    beside fal's own that its answers may name; `way` is how calls leave.
    """

    def __init__(
        self,
        *,
        queue_url: str,
        rest_url: str,
        key: str | None,
        api_url: str = "https://api.fal.ai",
        admin_key: str | None = None,
        media_hosts: Sequence[str] = (),
        route: OutboundRoute | None = None,
    ) -> None:
        self.queue_url = queue_url
        self.hosts = FalHosts.of_settings(queue_url=queue_url, rest_url=rest_url, more=media_hosts)
        self._rest_url = rest_url
        self._api_url = api_url
        self._admin_key = admin_key
        self._headers = {"Accept-Encoding": "identity", "Accept": "application/json"}
        self._can_call = key is not None
        if key is not None:
            self._headers["Authorization"] = f"Key {key}"
        route = route or OutboundRoute()
        options: dict[str, Any] = {"follow_redirects": False, "trust_env": False}
        self._once = httpx.AsyncClient(
            transport=plain_transport(route), timeout=self._limits(SUBMIT_SECONDS), **options
        )
        self._kept = httpx.AsyncClient(
            transport=kept_transport(route, connections=KEPT), timeout=self._limits(POLL_SECONDS), **options
        )
        self._said: dict[str, float] = {}  # by cause: when the log was told last

    @staticmethod
    def _limits(seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=CONNECT_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        await self._once.aclose()
        await self._kept.aclose()

    async def submit(
        self,
        model_id: str,
        body: dict[str, Any],
        *,
        start_timeout: float | None,
        marker: str,
        webhook_url: str | None,
    ) -> SubmitReply:
        """Buy one generation: exactly one POST, never repeated here. fal keeps the marker as a tag."""
        if not self._can_call:
            sentence = "The gateway has no fal key; the operator must set FAL_KEY."
            return SubmitRefused("upstream_unauthorized", sentence, retryable=True, account_fault=True)
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "x-app-fal-disable-fallback": "true",
            "X-Fal-Tags": f"filmgate={marker}",
        }
        url = f"{self.queue_url}/{model_id}"
        if webhook_url is not None:
            url += f"?fal_webhook={quote(webhook_url, safe='')}"
        if start_timeout is not None:
            headers["X-Fal-Request-Timeout"] = f"{start_timeout:.1f}"
        outgoing = Outgoing()
        try:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            async with asyncio.timeout(SUBMIT_SECONDS):
                status, answer, _ = await _read(
                    self._once, "POST", url, headers=headers, content=content, outgoing=outgoing
                )
        except Exception as error:  # noqa: BLE001  of whatever kind: what counts is whether a byte had left
            outcome = classify_exception(error, begun=outgoing.begun)
            log.warning("fal.no_answer", call="submit", error=type(error).__name__, cause=cause_of(error))
            return outcome
        outcome = classify_answer(status, answer)
        if isinstance(outcome, SubmitAccepted):
            return replace(outcome, odd_urls=names_odd_urls(answer, queue_url=self.queue_url))
        return outcome

    async def status(self, model_id: str, request_id: str) -> StatusReport:
        """How far a request is; `unclear` when fal gave no usable answer."""
        url = request_url(self.queue_url, model_id, request_id, "/status?logs=1")
        try:
            async with asyncio.timeout(POLL_SECONDS):
                status, answer, _ = await _read(self._kept, "GET", url, headers=self._headers)
        except (*NO_ANSWER, _AnswerTooLarge) as error:
            self._say("status", error)
            return StatusReport("unclear")
        if status == NOT_FOUND:
            return StatusReport("missing")
        return read_progress(answer) if status // 100 == 2 else StatusReport("unclear")  # noqa: PLR2004  2xx

    async def result(self, model_id: str, request_id: str) -> Result | None:
        """The result's HTTP status and body, or None when fal gave no answer. Too large an answer has no body."""
        url = request_url(self.queue_url, model_id, request_id)
        try:
            async with asyncio.timeout(RESULT_SECONDS):
                status, answer, headers = await _read(self._kept, "GET", url, headers=self._headers)
        except _AnswerTooLarge as error:
            return Result(error.status, None, None)
        except NO_ANSWER as error:
            self._say("result", error)
            return None
        body = parse_json(answer)
        told = body.get("error_type") if isinstance(body, dict) else None
        return Result(status, body, read_error_type(told, headers.get("x-fal-error-type")))

    async def cancel(self, model_id: str, request_id: str) -> bool:
        """Ask fal to cancel; True when fal answered at all. Its truth comes with the next poll."""
        url = request_url(self.queue_url, model_id, request_id, "/cancel")
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await _read(self._kept, "PUT", url, headers=self._headers)
        except (*NO_ANSWER, _AnswerTooLarge) as error:
            self._say("cancel", error)
            return False
        return True

    async def cancel_abandoned(self, requests: Iterable[tuple[str, str | None]]) -> None:
        """Ask fal to stop what no job waits for any more, by model and id: once, and whatever comes of it.

        Whether fal charges is told by its bill.
        """
        known = [(model, found) for model, found in requests if found is not None and REQUEST_ID.fullmatch(found)]
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_ABANDONED_SECONDS):
                await asyncio.gather(*(self.cancel(model, found) for model, found in known))

    async def upload(self, content: bytes, *, content_type: str, file_name: str) -> str:
        """Store a file at fal; the URL fal reads it from. UpstreamUnavailable when fal does not take it.

        Both addresses that fal's storage names must be fal's (`FalHosts`): nothing is sent to another place.
        """
        if not self._can_call:
            raise UpstreamUnavailable("Files cannot be stored: the gateway has no fal key.")
        ask = {"content_type": content_type, "file_name": file_name}
        url = f"{self._rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3"
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                headers = {**self._headers, "Content-Type": "application/json"}
                status, answer, _ = await _read(
                    self._once, "POST", url, headers=headers, content=json.dumps(ask).encode()
                )
                place = parse_json(answer)
                if status != OK or not isinstance(place, dict):
                    raise UpstreamUnavailable("fal's storage does not take files at the moment.")
                upload_url, file_url = (self._ours(place, name) for name in ("upload_url", "file_url"))
                # The upload URL is signed by itself; fal's key stays with fal's own hosts.
                headers = {"Content-Type": content_type, "Accept-Encoding": "identity"}
                headers["Content-Length"] = str(len(content))  # it is sent in pieces, and not in chunks
                status, _, _ = await _read(self._once, "PUT", upload_url, headers=headers, content=_pieces(content))
        except (*NO_ANSWER, _AnswerTooLarge) as error:
            self._say("upload", error)
            reason = unreachable(cause_of(error)).removeprefix("fal ")
            raise UpstreamUnavailable(f"The file was not stored: fal's storage {reason}") from None
        if status // 100 != 2:  # noqa: PLR2004  2xx
            raise UpstreamUnavailable("fal's storage did not take the file.")
        return file_url

    def _ours(self, place: dict[str, Any], name: str) -> str:
        """An address in an answer of fal's storage; UpstreamUnavailable when it is not a place of fal's."""
        url = place.get(name)
        if not self.hosts.include(url):
            origin = origin_of(url)
            log.error("fal.odd_address", member=name, host=None if origin is None else origin[1])
            raise UpstreamUnavailable("fal's storage names an address that is not fal's; the file was not sent.")
        return str(url)

    async def bill(
        self, request_ids: Sequence[str], *, start_ms: int, end_ms: int, page_size: int = PAGE
    ) -> Bill | UnusableAnswer:
        """What fal billed for at most 50 requests between two times (unix ms). Half an answer is none."""
        if self._admin_key is None:
            return UnusableAnswer("no_admin_key")
        if not 0 < len(request_ids) <= IDS_AT_ONCE:
            raise ValueError(f"fal takes 1 to {IDS_AT_ONCE} request ids a call")
        headers = {**self._headers, "Authorization": f"Key {self._admin_key}"}
        events: list[BillingEvent] = []
        cursor: str | None = None
        seen: set[str | None] = {None}
        try:
            async with asyncio.timeout(BILL_SECONDS):
                for _ in range(PAGES):
                    query = events_query(
                        request_ids, start_ms=start_ms, end_ms=end_ms, limit=page_size, cursor=cursor
                    )
                    url = f"{self._api_url}/v1/models/billing-events?{query}"
                    status, answer, _ = await _read(self._kept, "GET", url, headers=headers)
                    page = read_page(answer) if status == OK else None
                    if page is None:
                        return UnusableAnswer("unreadable" if status == OK else f"http_{status}")
                    events += page.events
                    cursor = page.cursor
                    if cursor is None:
                        return sum_up(events, request_ids=request_ids)
                    if cursor in seen:
                        return UnusableAnswer(
                            "unreadable"
                        )  # it goes round in circles, and counts the same events again
                    seen.add(cursor)
        except _AnswerTooLarge:
            return UnusableAnswer("unreadable")
        except NO_ANSWER as error:
            self._say("bill", error)
            return UnusableAnswer("no_answer")
        return UnusableAnswer("too_long")

    async def history(
        self, model_id: str, *, start_ms: int, end_ms: int, page_size: int = HISTORY_PAGE
    ) -> RequestListing | UnusableAnswer:
        """Every request that fal had for a model between two times (unix ms). Half a listing is none."""
        if self._admin_key is None:
            return UnusableAnswer("no_admin_key")
        headers = {**self._headers, "Authorization": f"Key {self._admin_key}"}
        found: dict[str, HistoryRequest] = {}
        cursor: str | None = None
        cursors: set[str | None] = {None}
        try:
            async with asyncio.timeout(HISTORY_SECONDS):
                for _ in range(HISTORY_PAGES):
                    query = history_query(
                        model_id, start_ms=start_ms, end_ms=end_ms, limit=page_size, cursor=cursor
                    )
                    url = f"{self._api_url}/v1/models/requests/by-endpoint?{query}"
                    status, answer, _ = await _read(self._kept, "GET", url, headers=headers, limit=HISTORY_LIMIT)
                    page = read_history(answer) if status == OK else UnusableAnswer(f"http_{status}")
                    if isinstance(page, UnusableAnswer):
                        return page
                    found |= {seen.request_id: seen for seen in page.requests}  # pages move while requests arrive
                    cursor = page.cursor
                    if cursor is None:
                        return RequestListing(tuple(sorted(found.values(), key=lambda seen: seen.sent_ms)))
                    if cursor in cursors:
                        return UnusableAnswer("unreadable")  # it goes round in circles, and the rest is never shown
                    cursors.add(cursor)
        except _AnswerTooLarge:
            return UnusableAnswer("too_large")
        except NO_ANSWER as error:
            self._say("history", error)
            return UnusableAnswer("no_answer")
        return UnusableAnswer("too_long")

    def _say(self, call: str, error: Exception) -> None:
        """Tell the log why a read got nowhere: each cause once in half a minute, however many jobs are polled."""
        cause, now = cause_of(error), time.monotonic()
        if now >= self._said.get(cause, 0.0):
            self._said[cause] = now + SAY_AGAIN_S
            log.warning("fal.no_answer", call=call, error=type(error).__name__, cause=cause)


class _AnswerTooLarge(Exception):
    """The answer is longer than any honest one; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """A file for the way to fal: a piece is copied and encrypted in one go, and others have their turn between."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


async def _read(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    content: bytes | AsyncIterable[bytes] | None = None,
    limit: int = ANSWER_LIMIT,
    outgoing: Outgoing | None = None,
) -> tuple[int, bytes, httpx.Headers]:
    """Status, raw body and headers of one call; the body is cut off, as an error, at `limit` bytes."""
    extensions = None if outgoing is None else {"trace": outgoing.watch}
    async with client.stream(method, url, headers=headers, content=content, extensions=extensions) as answer:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise _AnswerTooLarge(answer.status_code)
        return answer.status_code, bytes(body), answer.headers
