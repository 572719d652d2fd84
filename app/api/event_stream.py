"""Server-sent events: how every stream begins, continues and ends."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import pydantic_core
import structlog
from fastapi import Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from app.api.problems import LONGEST_PATH
from app.domain.accounts import Caller
from app.domain.errors import FilmgateError
from app.domain.events import Event, Notice
from app.gateway import Gateway

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
RETRY_MS = 3000  # after which a client reconnects

T = TypeVar("T")
log = structlog.get_logger()


async def event_stream(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    frames: AsyncGenerator[T, None],
    write: Callable[[T], Awaitable[bytes]],
    *,
    headers: dict[str, str],
) -> StreamingResponse:
    """Server-sent events, each frame as `write` renders it, until they end or the caller's key is revoked.

    The reply begins with the first event, so that an unavailable store is a 503 here too.

    Raises:
        OverLimit: the caller has too many streams open.
    """
    gateway.accounts.streams.require_room(caller)
    chunks = _written(gateway.accounts.streams.until_closed(caller, frames), write)
    first = await anext(chunks, b"")
    return _EventStream(_until_error(first, chunks, request.scope["path"]), chunks, headers)


def sent_event(event: Event | Notice, view: Mapping[str, Any]) -> bytes:
    """The event in the format of server-sent events, with its view as data."""
    data = pydantic_core.to_json(view).decode()
    return format_sse_event(event=event.type, data_str=data, id=event.id, retry=RETRY_MS)


class _EventStream(StreamingResponse):
    """A stream that closes its source however it ends, also when the client left before it began."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], chunks: AsyncGenerator[bytes, None], headers: dict[str, str]
    ) -> None:
        super().__init__(content, headers={**HEADERS, **headers}, media_type=MEDIA_TYPE)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


async def _written(
    frames: AsyncGenerator[T, None], write: Callable[[T], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(frames):
        async for frame in frames:
            if chunk := await write(frame):
                yield chunk


async def _until_error(first: bytes, chunks: AsyncGenerator[bytes, None], path: str) -> AsyncGenerator[bytes, None]:
    """All chunks. An error ends the stream cleanly: the client reconnects, and gets the error then."""
    yield first
    try:
        async for chunk in chunks:
            yield chunk
    except FilmgateError as error:
        log.warning("stream.ended", path=path[:LONGEST_PATH], reason=error.message)
