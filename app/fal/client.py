"""fal's queue as the gateway uses it: one attempt a call, total deadlines, capped answers, no redirects.

A submission opens a new connection: if a server closed a reused one at the wrong moment, it would be unknown
whether $1.40 was spent. Polls and other reads use kept connections (docs/decisions/0007).
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import quote

import aiohttp
import httpx
import structlog

from app.domain.errors import UpstreamUnavailable
from app.domain.fal_addresses import FalHosts, origin_of
from app.domain.foreign_json import read_error_type, read_units
from app.fal.billing import BILL_PAGE, MAX_BILL_PAGES, MAX_IDS_PER_BILL, Bill, events_query, read_page, sum_up
from app.fal.errors import Outgoing, UnusableAnswer, cause_of, classify_answer, classify_exception, unreachable
from app.fal.files import FileAnswer, FileNotRead, open_file
from app.fal.history import HISTORY_PAGE, MAX_HISTORY_PAGES, RequestListing, history_query, read_history
from app.fal.measured import measured
from app.fal.protocol import (
    REQUEST_ID,
    Item,
    PlatformPage,
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
from app.fal.web import (
    ANSWER_BYTES,
    FalAnswerTooLarge,
    KeptConnections,
    OutboundRoute,
    plain_transport,
    read_answer,
)
from app.outages import Outage

SUBMIT_SECONDS = 30
LAST_SUBMIT_SECONDS = 20  # for a submission on its way when its process is told to stop
POLL_SECONDS = 10
CANCEL_ABANDONED_SECONDS = 3  # the caller has other work
RESULT_SECONDS = 10
UPLOAD_SECONDS = 120
UPLOAD_BYTES_A_SECOND = 500_000  # that a large file may take longer
CHUNK_BYTES = 256 * 1024
BILL_SECONDS = HISTORY_SECONDS = 4  # for all pages: less than a lane's slice
HISTORY_LIMIT = 8_000_000  # bytes; a page has a hundred payloads, whose prompts may be long
CONNECT_SECONDS = 5
MAX_CONNECTIONS = 200  # that polls share
# Errors of a failed call: httpx's of an upload, aiohttp's of a read.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, TimeoutError, UnicodeError)
NOT_FOUND = 404
OK = 200

log = structlog.get_logger()


class FalClient:
    """Calls fal. `key` is fal's key; without one, every call that needs it is refused before it is made.

    `admin_key` reads the bill and the history at `api_url` and is sent nowhere else. `media_hosts` are allowed in
    URLs of fal's answers, in addition to fal's own.
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
        self._kept = KeptConnections(route, connections=MAX_CONNECTIONS, connect_s=CONNECT_SECONDS)
        self._outage = Outage("fal")
        self._submitting: set[asyncio.Timeout] = set()

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
        traceparent: str | None = None,
    ) -> SubmitReply:
        """Buy one generation: exactly one POST, never repeated here. fal keeps the marker as a tag.

        `traceparent` is sent as it is (W3C Trace Context).
        """
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
        if traceparent is not None:
            headers["traceparent"] = traceparent
        outgoing = Outgoing()
        try:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            with measured("submit") as call:
                async with asyncio.timeout(SUBMIT_SECONDS) as limit, self._counted(limit):
                    call.status, answer, _ = await read_answer(
                        self._once, "POST", url, headers=headers, content=content, outgoing=outgoing
                    )
        except Exception as error:  # noqa: BLE001  any error: what counts is whether a byte was sent
            self._note_failure("submit", error)
            return classify_exception(error, begun=outgoing.begun)
        self._outage.worked()
        outcome = classify_answer(call.status, answer)
        if isinstance(outcome, SubmitAccepted):
            return replace(outcome, odd_urls=names_odd_urls(answer, queue_url=self.queue_url))
        return outcome

    def hurry(self) -> None:
        """The process stops: submissions on their way end soon, so that their outcome is still written down."""
        latest = asyncio.get_running_loop().time() + LAST_SUBMIT_SECONDS
        for limit in self._submitting:
            limit.reschedule(min(limit.when() or latest, latest))

    @asynccontextmanager
    async def _counted(self, limit: asyncio.Timeout) -> AsyncIterator[None]:
        self._submitting.add(limit)
        try:
            yield
        finally:
            self._submitting.discard(limit)

    async def status(self, model_id: str, request_id: str) -> StatusReport:
        """The status of a request; `unclear` when fal gave no usable answer."""
        url = request_url(self.queue_url, model_id, request_id, "/status?logs=1")
        try:
            with measured("status") as call:
                async with asyncio.timeout(POLL_SECONDS):
                    call.status, answer, _ = await self._kept.call("GET", url, headers=self._headers)
        except (*NO_ANSWER, FalAnswerTooLarge) as error:
            self._note_failure("status", error)
            return StatusReport("unclear")
        if self._outage.on:
            self._outage.worked()
        if call.status == NOT_FOUND:
            return StatusReport("missing")
        return read_progress(answer) if call.status // 100 == 2 else StatusReport("unclear")  # noqa: PLR2004  2xx

    async def result(self, model_id: str, request_id: str) -> Result | None:
        """The result's HTTP status and body, or None without an answer. The body of a too large answer is None."""
        url = request_url(self.queue_url, model_id, request_id)
        try:
            with measured("result") as call:
                async with asyncio.timeout(RESULT_SECONDS):
                    call.status, answer, headers = await self._kept.call("GET", url, headers=self._headers)
        except FalAnswerTooLarge as error:
            return Result(error.status, None, None)
        except NO_ANSWER as error:
            self._note_failure("result", error)
            return None
        self._outage.worked()
        body = parse_json(answer)
        error_type = body.get("error_type") if isinstance(body, dict) else None
        units = read_units(headers.get("x-fal-billable-units"))
        return Result(call.status, body, read_error_type(error_type, headers.get("x-fal-error-type")), units)

    async def cancel(self, model_id: str, request_id: str) -> bool:
        """Ask fal to cancel; True when fal answered. The next poll shows the outcome."""
        url = request_url(self.queue_url, model_id, request_id, "/cancel")
        try:
            with measured("cancel") as call:
                async with asyncio.timeout(POLL_SECONDS):
                    call.status, _, _ = await self._kept.call("PUT", url, headers=self._headers)
        except (*NO_ANSWER, FalAnswerTooLarge) as error:
            self._note_failure("cancel", error)
            return False
        return True

    async def cancel_abandoned(self, requests: Iterable[tuple[str, str | None]]) -> None:
        """Ask fal once to stop requests (model, id) that no job waits for; its bill shows whether it charges."""
        known = [(model, id_) for model, id_ in requests if id_ is not None and REQUEST_ID.fullmatch(id_)]
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_ABANDONED_SECONDS):
                await asyncio.gather(*(self.cancel(model, id_) for model, id_ in known))

    def file(self, url: str, *, start: int = 0, etag: str | None = None) -> AbstractAsyncContextManager[FileAnswer]:
        """A file at one of fal's addresses, as it arrives; FileNotRead when that fails."""
        if not self.hosts.include(url):
            raise FileNotRead("its address is not one of fal's")
        return open_file(self._kept, url, start=start, etag=etag)

    async def upload(self, content: bytes | BinaryIO, *, content_type: str, file_name: str) -> str:
        """Store bytes or an open file at fal; the URL from which fal reads it. UpstreamUnavailable when that fails.

        Both URLs in the answer of fal's storage must be on fal's hosts (`FalHosts`).
        """
        if not self._can_call:
            raise UpstreamUnavailable("Files cannot be stored: the gateway has no fal key.")
        ask = {"content_type": content_type, "file_name": file_name}
        url = f"{self._rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3"
        try:
            size = len(content) if isinstance(content, bytes) else content.seek(0, io.SEEK_END)
            with measured("upload") as call:
                async with asyncio.timeout(UPLOAD_SECONDS + size / UPLOAD_BYTES_A_SECOND):
                    headers = {**self._headers, "Content-Type": "application/json"}
                    call.status, answer, _ = await read_answer(
                        self._once, "POST", url, headers=headers, content=json.dumps(ask).encode()
                    )
                    target = parse_json(answer)
                    if call.status != OK or not isinstance(target, dict):
                        raise UpstreamUnavailable("fal's storage does not take files at the moment.")
                    upload_url, file_url = (self._fal_url(target, name) for name in ("upload_url", "file_url"))
                    # The upload URL is signed; the key is not sent to it.
                    headers = {"Content-Type": content_type, "Accept-Encoding": "identity"}
                    headers["Content-Length"] = str(size)  # else a body from an iterator is sent chunked
                    call.status, _, _ = await read_answer(
                        self._once, "PUT", upload_url, headers=headers, content=_chunks(content)
                    )
        except (*NO_ANSWER, FalAnswerTooLarge) as error:
            self._note_failure("upload", error)
            reason = unreachable(cause_of(error)).removeprefix("fal ")
            raise UpstreamUnavailable(f"The file was not stored: fal's storage {reason}") from None
        if call.status // 100 != 2:  # noqa: PLR2004  2xx
            raise UpstreamUnavailable("fal's storage did not take the file.")
        return file_url

    def _fal_url(self, target: dict[str, Any], name: str) -> str:
        """A URL in an answer of fal's storage; UpstreamUnavailable when its host is not fal's."""
        url = target.get(name)
        if not self.hosts.include(url):
            origin = origin_of(url)
            log.error("fal.odd_address", member=name, host=None if origin is None else origin[1])
            raise UpstreamUnavailable("fal's storage names an address that is not fal's; the file was not sent.")
        return str(url)

    async def bill(
        self, request_ids: Sequence[str], *, start_ms: int, end_ms: int, page_size: int = BILL_PAGE
    ) -> Bill | UnusableAnswer:
        """What fal billed for at most 50 requests between two times (unix ms)."""
        if not 0 < len(request_ids) <= MAX_IDS_PER_BILL:
            raise ValueError(f"fal takes 1 to {MAX_IDS_PER_BILL} request ids a call")
        query = partial(events_query, request_ids, start_ms=start_ms, end_ms=end_ms, limit=page_size)
        events = await self._listing(
            "bill", "billing-events", query, read_page, seconds=BILL_SECONDS, max_pages=MAX_BILL_PAGES
        )
        return events if isinstance(events, UnusableAnswer) else sum_up(events, request_ids=request_ids)

    async def history(
        self, model_id: str, *, start_ms: int, end_ms: int, page_size: int = HISTORY_PAGE
    ) -> RequestListing | UnusableAnswer:
        """Every request that fal had for a model between two times (unix ms)."""
        query = partial(history_query, model_id, start_ms=start_ms, end_ms=end_ms, limit=page_size)
        requests = await self._listing(
            "history",
            "requests/by-endpoint",
            query,
            read_history,
            seconds=HISTORY_SECONDS,
            max_pages=MAX_HISTORY_PAGES,
            limit=HISTORY_LIMIT,
        )
        if isinstance(requests, UnusableAnswer):
            return requests
        distinct = {request.request_id: request for request in requests}  # pages shift while requests arrive
        return RequestListing(tuple(sorted(distinct.values(), key=lambda request: request.sent_ms)))

    async def _listing(
        self,
        call: str,
        path: str,
        query: Callable[..., str],
        read: Callable[[bytes], PlatformPage[Item] | UnusableAnswer],
        *,
        seconds: float,
        max_pages: int,
        limit: int = ANSWER_BYTES,
    ) -> list[Item] | UnusableAnswer:
        """All items of a listing of fal's platform API, page by page; an incomplete one is unusable."""
        if self._admin_key is None:
            return UnusableAnswer("no_admin_key")
        headers = {**self._headers, "Authorization": f"Key {self._admin_key}"}
        items: list[Item] = []
        cursors: list[str | None] = [None]
        try:
            async with asyncio.timeout(seconds):
                while len(cursors) <= max_pages:
                    url = f"{self._api_url}/v1/models/{path}?{query(cursor=cursors[-1])}"
                    with measured(call) as measure:
                        measure.status, answer, _ = await self._kept.call("GET", url, headers=headers, limit=limit)
                    status = measure.status
                    page = read(answer) if status == OK else UnusableAnswer(f"http_{status}")
                    if isinstance(page, UnusableAnswer):
                        return page
                    items += page.items
                    if page.cursor is None:
                        return items
                    if page.cursor in cursors:
                        return UnusableAnswer("unreadable")  # the pages repeat, and would be counted twice
                    cursors.append(page.cursor)
        except FalAnswerTooLarge:
            return UnusableAnswer("too_large")
        except NO_ANSWER as error:
            self._note_failure(call, error)
            return UnusableAnswer("no_answer")
        return UnusableAnswer("too_long")

    def _note_failure(self, call: str, error: Exception) -> None:
        """A call got no answer: one line for each cause until fal answers again, however many jobs are polled."""
        self._outage.failed(cause_of(error), call=call, error=type(error).__name__)


async def _chunks(content: bytes | BinaryIO) -> AsyncIterator[bytes]:
    """A file in chunks: each is encrypted without a pause, and other tasks run in between."""
    if not isinstance(content, bytes):
        content.seek(0)
        while chunk := await asyncio.to_thread(content.read, CHUNK_BYTES):
            yield chunk
        return
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
