"""What every request passes: a trace id, a limit on its body, one log line."""

import asyncio
import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem
from app.domain.errors import FilmgateError, Malformed, TooLarge, TooSlow
from app.domain.ids import new_nonce

JSON_LIMIT = 8 * 1024 * 1024  # bytes; a data URI of a 6 MB image fits
HOOK_LIMIT = 256 * 1024  # fal's webhooks are a few KB
FILE_LIMIT = 31 * 1024 * 1024  # a 30 MB image and its multipart frame
SAID = {
    HOOK_LIMIT: "256 KB",
    JSON_LIMIT: "8 MB",
    FILE_LIMIT: "30 MB",
}  # without the frame
BODY_SECONDS = 60
LENGTH_DIGITS = 15  # of a Content-Length that is worth reading as a number
TRACE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
QUIET = frozenset({"/livez", "/readyz", "/metrics"})

log = structlog.get_logger()


class Entrance:
    """Plain ASGI, because it stands in the way of every request.

    1. a trace id: the caller's `X-Request-ID` when it is a sane one, else a new one; echoed in the reply
    2. a declared length over the limit is refused before a byte is read
    3. a body without a declared length, or a lying one, is cut off at the limit; one that stops coming, in time
    4. one log line for each request, with status and duration; the query is left out, because it may hold a token
    """

    def __init__(self, app: ASGIApp, *, base_url: str, body_seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._base_url = base_url
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        trace_id = given.decode() if TRACE_ID.fullmatch(given) else new_nonce()
        scope["trace_id"] = trace_id
        status = 0

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", trace_id.encode())]
            await send(message)

        limit = _limit_of(scope["path"])
        try:
            _check_length(headers.get(b"content-length"), limit)
            await self._app(scope, _limited(receive, limit, self._body_seconds), send_with_trace)
        except FilmgateError as error:  # raised before the application's own handlers can see it
            response = problem(error, scope=scope, base_url=self._base_url)
            response.headers["Connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, send_with_trace)
        finally:
            if scope["path"] not in QUIET:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - began) * 1000, 1),
                    trace_id=trace_id,
                )


def _limit_of(path: str) -> int:
    """Bytes that a body at this path may have."""
    if path.startswith("/fal/hooks/"):
        return HOOK_LIMIT
    return FILE_LIMIT if path == "/v1/files" or path.startswith("/fal/cdn/") else JSON_LIMIT


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {SAID[limit]}, the most this route reads.")


def _check_length(declared: bytes | None, limit: int) -> None:
    if declared is None:
        return
    if not declared.isdigit():
        raise Malformed("The Content-Length is not a number.", code="invalid_header")
    if len(declared) > LENGTH_DIGITS or int(declared) > limit:
        raise _too_large(limit)


def _limited(receive: Receive, limit: int, seconds: float) -> Receive:
    """The request's body, up to the limit and within the time; once it is complete, whatever else comes."""
    read, complete = 0, False
    end = asyncio.get_running_loop().time() + seconds

    async def receive_limited() -> Message:
        nonlocal read, complete
        if complete:
            return await receive()  # waits for the caller to leave, for as long as an answer is streamed
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {seconds:g} seconds.") from None
        read += len(message.get("body", b""))
        if read > limit:
            raise _too_large(limit)
        complete = not message.get("more_body", False)
        return message

    return receive_limited
