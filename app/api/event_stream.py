"""Server-sent events: how every stream begins, continues and ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import pydantic_core
import structlog
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.incoming import PLAIN_LIMIT
from app.api.problems import LONGEST_PATH
from app.api.stopping import Stopping, parting_frame, stopping_of
from app.domain.accounts import Caller
from app.domain.errors import FilmgateError
from app.domain.events import Event, Notice
from app.gateway import Gateway
from app.services.live import Following
from app.tasks import cancel_and_wait
from app.views.events import event_view

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
RETRY_MS = 3000  # after which a client reconnects
KEPT = 64  # encoded events
REST = "rest_of_stream"  # of the scope
NEEDED = {"type", "method"}  # of the scope, by the server

T = TypeVar("T")
log = structlog.get_logger()


async def event_stream(
    gateway: Gateway,
    caller: Caller,
    following: Following[T],
    write: Callable[[T], Awaitable[bytes]],
    *,
    headers: dict[str, str],
) -> Response:
    """Server-sent events: the frames as `write` renders them, until they end or the caller's key is revoked.

    The reply begins with the first event, so that an unavailable store is a 503 here too.

    Raises:
        OverLimit: the caller has too many streams open.
    """
    gateway.accounts.streams.require_room(caller)
    chunks = _written(gateway.accounts.streams.until_closed(caller, following), write)
    first = await anext(chunks, b"")
    return _EventStream(following.follower.end, first, chunks, headers)


class SentEvents:
    """The newest events as bytes: each is encoded once for all streams that send it.

    An event that is followed live is one object for all of them, so it is found by its identity.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Event | Notice, bytes]] = {}

    def encoded(self, event: Event | Notice, *, base_url: str) -> bytes:
        """The event in the format of server-sent events."""
        kept = self._kept.get(id(event))
        if kept is None:
            kept = (event, sent_event(event, event_view(event, base_url=base_url)))
            self._kept[id(event)] = kept
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return kept[1]


SENT = SentEvents()  # of this process


def sent_event(event: Event | Notice, view: Mapping[str, Any]) -> bytes:
    """The event in the format of server-sent events, with its view as data."""
    data = pydantic_core.to_json(view).decode()
    return format_sse_event(event=event.type, data_str=data, id=event.id, retry=RETRY_MS)


class _EventStream(StreamingResponse):
    """The head of a stream and its first event. `StreamRest` sends the others."""

    def __init__(
        self, end: Callable[[], None], first: bytes, chunks: AsyncGenerator[bytes, None], headers: dict[str, str]
    ) -> None:
        super().__init__(chunks, headers={**HEADERS, **headers}, media_type=MEDIA_TYPE)
        self._end = end
        self._first = first
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as Starlette's
        """Begin the answer."""
        scope[REST].begin(self._chunks, self._end)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})


class _Rest:
    """The rest of a request's stream, if its answer is one. It is closed however it ends."""

    __slots__ = ("_chunks", "_end", "_stopping")

    def __init__(self, stopping: Stopping | None) -> None:
        self._stopping = stopping
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._end: Callable[[], None] | None = None

    def begin(self, chunks: AsyncGenerator[bytes, None], end: Callable[[], None]) -> None:
        """The answer is a stream of these chunks; `end` ends them, as does the end of the server."""
        self._chunks, self._end = chunks, end
        if self._stopping is not None:
            self._stopping.add_stream(end)

    async def send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks until their end; the last one says when to reconnect, if the server stops.

        An error ends the stream cleanly: the client reconnects, and gets the error then.
        """
        if self._chunks is None or self._end is None or scope["method"] == "HEAD":
            return
        path, trace_id, began = scope["path"][:LONGEST_PATH], scope["trace_id"], time.monotonic()
        for name in scope.keys() - NEEDED:
            del scope[name]  # what routers and dependencies left there
        leaving = asyncio.create_task(_end_with_client(receive, self._end))
        try:
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except FilmgateError as error:
            log.warning("stream.ended", path=path, reason=error.message)
        finally:
            seconds = round(time.monotonic() - began, 1)
            log.info("stream.closed", path=path, seconds=seconds, trace_id=trace_id)
            await cancel_and_wait(leaving)
        is_cut = self._stopping is not None and self._stopping.stopped.is_set()
        last = parting_frame() if is_cut else b""
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def close(self) -> None:
        """Close the source."""
        if self._stopping is not None and self._end is not None:
            self._stopping.drop_stream(self._end)
        if self._chunks is not None:
            await self._chunks.aclose()


class StreamRest:
    """ASGI middleware around all others, which a stream would keep in memory for as long as it is open.

    They see its head and first event, and are done; this sends the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rest = scope[REST] = _Rest(stopping_of(scope.get("state", {})))
        try:
            await self._app(scope, receive, send)
            await rest.send(scope, receive, send)
        finally:
            await rest.close()


async def _end_with_client(receive: Receive, end: Callable[[], None]) -> None:
    """The stream ends when its client leaves, or sends a large body."""
    size = 0
    try:
        while size <= PLAIN_LIMIT and (message := await receive())["type"] != "http.disconnect":
            size += len(message.get("body", b""))
    finally:
        end()


async def _written(
    frames: AsyncGenerator[T, None], write: Callable[[T], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(frames):
        async for frame in frames:
            if chunk := await write(frame):
                yield chunk
