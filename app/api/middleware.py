"""Middleware of every request: a trace id, a limit on its body, one log line."""

import re
import time
from collections.abc import Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import tracing
from app.api.fal_dropped import with_query_warning
from app.api.incoming import INCOMING, ON_DISK, Bodies, BodyLimit, Incoming, Pace, limit_of, too_large
from app.api.problems import LONGEST_PATH, problem
from app.api.reply_counts import ERROR_CODE, count_reply
from app.domain.errors import Code, FilmgateError, Malformed
from app.domain.ids import new_nonce
from app.domain.traces import TraceParent, new_span, read_traceparent, standard_id
from app.telemetry import begin_about, note

LENGTH_DIGITS = 15  # of a Content-Length that is parsed
LONGEST_ADDRESS = 64  # characters: a proxy may pass on something else
CLOSE = (b"connection", b"close")
REFUSAL = "refusal"  # of the scope: an error with which a middleware outside refuses the request
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
TRACEPARENT = b"traceparent"
TRACE_SAMPLED = "trace_sampled"  # of the scope: True when the caller, or this gateway, records the trace; else None
ID = re.compile(r"[a-z]+_[0-9a-f]{32}", re.ASCII)  # in a path; the names of spans are few
UNLOGGED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})


class RequestMiddleware:
    """Plain ASGI, because it runs for every request.

    1. a trace id: that of the caller's `traceparent`, else its `X-Request-ID` if it is well-formed, else a new one.
       The reply has the `X-Request-ID` or the trace id
    2. a declared length over the limit is refused before a byte is read
    3. a body is cut off at the limit or when it stops arriving, and is not read when there is no memory for it
    4. under /fal/, a warning about unknown query parameters
    5. one log line with status, duration, and what was noted about the request, as the code of an error; without
       the query, which may hold a token, and with a shortened path, so that callers cannot fill the disk
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
        request_id, span = _begin_trace(scope, headers)
        status, incoming = 0, None
        headers_sent: list[tuple[bytes, bytes]] = []

        async def send_with_trace(message: Message) -> None:
            nonlocal status, headers_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_query_warning(
                    scope, [*message["headers"], (b"x-request-id", request_id.encode())]
                )
                if incoming is not None and incoming.refused and CLOSE[0] not in dict(message["headers"]):
                    message["headers"].append(CLOSE)  # the rest of the body is not read
                headers_sent = message["headers"]
            await send(message)

        try:
            declared = _length(headers.get(b"content-length"), limit_of(scope["path"]))
            incoming = Incoming(
                scope, receive, bodies=self._bodies, on_disk=self._on_disk, pace=self._pace, declared=declared
            )
            scope[INCOMING] = incoming
            _require_no_refusal(scope)
            await self._app(scope, incoming.receive, send_with_trace)
        except FilmgateError as error:  # raised outside the application's own handlers
            response = problem(error, scope=scope, base_url=self._base_url)
            response.headers["Connection"] = "close"  # the rest of the body is not read
            await response(scope, receive, send_with_trace)
        except Exception:
            status = status or Code.INTERNAL_ERROR.status  # as it will be answered; the error has a line of its own
            note(code=Code.INTERNAL_ERROR.value)
            scope[ERROR_CODE] = Code.INTERNAL_ERROR
            raise
        finally:
            if incoming is not None:
                incoming.let_go()
                scope.pop(INCOMING, None)  # a reference cycle would live until the collector runs
            if scope["path"] not in UNLOGGED_PATHS:
                count_reply(scope, status, headers_sent)
            self._log_request(scope, status, began, span)

    def _log_request(self, scope: Scope, status: int, began: float, span: "RequestSpan | None") -> None:
        """The line about a request that was answered, and its span."""
        if scope["path"] in UNLOGGED_PATHS:
            return
        path, ms = scope["path"][:LONGEST_PATH], round((time.perf_counter() - began) * 1000, 1)
        self._log.info("request", method=scope["method"], path=path, status=status, ms=ms)
        if span is not None:
            span.end(scope, status)


def _begin_trace(scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[str, "RequestSpan | None"]:
    """Name the request, in the scope and in the log: its `X-Request-ID`; the span, while spans are recorded."""
    given = headers.get(b"x-request-id", b"")
    request_id = given.decode() if REQUEST_ID.fullmatch(given) else None
    parent = _trace_parent(scope) if TRACEPARENT in headers else None
    trace_id = parent.trace_id if parent is not None else request_id or new_nonce()
    scope["trace_id"], scope[TRACE_SAMPLED] = trace_id, tracing.is_sampled(trace_id, parent)
    also = {} if request_id in {None, trace_id} else {"request_id": request_id}
    begin_about(trace_id=trace_id, address=address_of(scope), **also)
    return request_id or trace_id, RequestSpan(scope, parent) if tracing.is_on() else None


def _trace_parent(scope: Scope) -> TraceParent | None:
    """The caller's `traceparent`; None for one that is invalid, or sent twice."""
    given = [value for name, value in scope["headers"] if name == TRACEPARENT]
    return read_traceparent(given[0].decode("latin-1")) if len(given) == 1 else None


def _require_no_refusal(scope: Scope) -> None:
    if REFUSAL in scope:
        raise scope[REFUSAL]


class RequestSpan:
    """The span of one request."""

    def __init__(self, scope: Scope, parent: TraceParent | None) -> None:
        trace_id, sampled = standard_id(scope["trace_id"]), bool(scope[TRACE_SAMPLED])
        self._within = TraceParent(trace_id, parent.span if parent is not None else "", sampled)
        self._span, self._began_ns = new_span(), time.time_ns()
        tracing.begin(TraceParent(trace_id, self._span, sampled))

    def end(self, scope: Scope, status: int) -> None:
        """Record it."""
        path = scope["path"][:LONGEST_PATH]
        tracing.record(
            f"{scope['method']} {ID.sub('{id}', path)}",
            self._within,
            began_ns=self._began_ns,
            span=self._span,
            kind="SERVER",
            error=str(status) if status >= Code.INTERNAL_ERROR.status else None,
            attributes={
                "http.request.method": scope["method"],
                "http.response.status_code": status,
                "url.path": path,
                "client.address": address_of(scope),
            },
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
