"""Server-sent events: how every stream begins, continues and ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import pydantic_core
import structlog
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from app.api.problems import LONGEST_PATH
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
    """A stream that closes its source however it ends, also when the client left before it began.

    Starlette's own keeps a task group and two tasks more for each stream.
    """

    def __init__(
        self, end: Callable[[], None], first: bytes, chunks: AsyncGenerator[bytes, None], headers: dict[str, str]
    ) -> None:
        super().__init__(chunks, headers={**HEADERS, **headers}, media_type=MEDIA_TYPE)
        self._end = end
        self._first = first
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: the first chunk, then the others until their end.

        An error ends the stream cleanly: the client reconnects, and gets the error then.
        """
        leaving = asyncio.create_task(_end_with_client(receive, self._end))
        try:
            async with aclosing(self._chunks):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
                async for chunk in self._chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except FilmgateError as error:
            log.warning("stream.ended", path=scope["path"][:LONGEST_PATH], reason=error.message)
        finally:
            await cancel_and_wait(leaving)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end_with_client(receive: Receive, end: Callable[[], None]) -> None:
    """The stream ends when its client leaves."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        end()


async def _written(
    frames: AsyncGenerator[T, None], write: Callable[[T], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(frames):
        async for frame in frames:
            if chunk := await write(frame):
                yield chunk
