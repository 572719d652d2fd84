"""Middleware of every request: a trace id, a limit on its body, one log line."""

import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.fal_dropped import with_query_warning
from app.api.incoming import INCOMING, ON_DISK, Bodies, BodyLimit, Incoming, Pace, limit_of, too_large
from app.api.problems import LONGEST_PATH, problem
from app.domain.errors import Code, FilmgateError, Malformed
from app.domain.ids import new_nonce

LENGTH_DIGITS = 15  # of a Content-Length that is parsed
LONGEST_ADDRESS = 64  # characters: a proxy may pass on something else
CLOSE = (b"connection", b"close")
REFUSAL = "refusal"  # of the scope: an error with which a middleware outside refuses the request
TRACE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNLOGGED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class RequestMiddleware:
    """Plain ASGI, because it runs for every request.

    1. a trace id: the caller's `X-Request-ID` if it is well-formed, else a new one; echoed in the reply
    2. a declared length over the limit is refused before a byte is read
    3. a body is cut off at the limit or when it stops arriving, and is not read when there is no memory for it
    4. under /fal/, a warning about unknown query parameters
    5. one log line with status and duration; without the query, which may hold a token, and with a shortened path,
       so that callers cannot fill the disk
    """

    def __init__(
        self, app: ASGIApp, *, base_url: str, pace: Pace | None = None, room: BodyLimit | None = None
    ) -> None:
        self._app = app
        self._base_url = base_url
        self._pace = pace or Pace()
        self._bodies, self._on_disk = Bodies(room or BodyLimit()), Bodies(ON_DISK)
        self._log = structlog.get_logger().bind()  # bound once; a logger that is not is bound for each line

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
        status, incoming = 0, None

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_query_warning(
                    scope, [*message["headers"], (b"x-request-id", trace_id.encode())]
                )
                if incoming is not None and incoming.refused and CLOSE[0] not in dict(message["headers"]):
                    message["headers"].append(CLOSE)  # the rest of the body is not read
            await send(message)

        try:
            declared = _length(headers.get(b"content-length"), limit_of(scope["path"]))
            incoming = Incoming(
                scope, receive, bodies=self._bodies, on_disk=self._on_disk, pace=self._pace, declared=declared
            )
            scope[INCOMING] = incoming
            if REFUSAL in scope:
                raise scope[REFUSAL]
            await self._app(scope, incoming.receive, send_with_trace)
        except FilmgateError as error:  # raised outside the application's own handlers
            response = problem(error, scope=scope, base_url=self._base_url)
            response.headers["Connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, send_with_trace)
        finally:
            if incoming is not None:
                incoming.let_go()
                scope.pop(INCOMING, None)  # a reference cycle would live until the collector runs
            if scope["path"] not in UNLOGGED_PATHS:
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:LONGEST_PATH],
                    status=status,
                    ms=round((time.perf_counter() - began) * 1000, 1),
                    address=address_of(scope),
                    trace_id=trace_id,
                )


def address_of(scope: Scope) -> str:
    """The client's address: the peer's, or the one that a proxy of FILMGATE_TRUSTED_PROXIES names."""
    client = scope.get("client")
    return str(client[0])[:LONGEST_ADDRESS] if client else ""


def _length(declared: bytes | None, limit: int) -> int:
    """The declared length of the body, 0 without one; TooLarge when it is over the limit."""
    if declared is None:
        return 0
    if not declared.isdigit():
        raise Malformed("The Content-Length is not a number.", code=Code.INVALID_HEADER)
    if len(declared) > LENGTH_DIGITS or int(declared) > limit:
        raise too_large(limit)
    return int(declared)
