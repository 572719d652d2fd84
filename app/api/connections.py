"""Connections as the API takes them: uvicorn's protocol, with a bound on all that costs before a key is read.

httptools keeps what it is sent until a head is complete, and uvicorn has no limit for it: neither in bytes nor in
fields, seconds or connections. Here each is counted before it is kept.
"""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.api.connection_limit import ROOM
from app.api.handover import HANDOVER, ServedReply, is_reset
from app.api.incoming import WHOLE
from app.api.one_write import COPIED_BYTES, OneWrite, has_body, send_in_pieces
from app.api.overload import GATE, Gate
from app.api.problems import problem
from app.api.shedding import field_lines, plain_head, raw_refusal
from app.api.stopping import is_draining
from app.domain.errors import AddressTooLong, Code, FilmgateError, HeadTooLarge, Malformed, TooSlow, Unavailable
from app.domain.ids import new_nonce

HEAD_BYTES = 16 * 1024  # request line and fields; a second request in the same piece may have twice as many
HEAD_FIELDS = 100
HEAD_SECONDS = 10.0
PIPELINED = 32  # requests that may wait behind one; each takes some kilobytes, and as sent only some bytes
LINGER_SECONDS = 2.0  # so long a refused body is let go by, so that its sender reads the answer and not a reset
LINGER_BYTES = 32 * 1024 * 1024  # and so much of it: a whole file
READ_SECONDS = 30.0  # between two looks at a reply of which its caller takes nothing
VERSIONS = {"1.0", "1.1"}


class Connection(HttpToolsProtocol):
    """One connection.

    1. a head has at most 16 KB and 100 fields (431), a version and one Host (400), and ten seconds (408)
    2. what stands between two pieces of a body, or behind it, is bounded as a head is
    3. a reply before the end of the body closes the connection; for two seconds, the rest is read and dropped
    4. few requests may wait behind one; what cannot be read ends the connection after their answers
    5. a caller who takes nothing of a reply between two looks, 30 seconds apart, is disconnected: it is kept here
    6. at the limit, the connection that has waited longest for a head or a reader is closed; if all are busy, 503
    7. `%2f` in a path is no slash
    8. a plain request that the gate refuses is answered without the parser
    """

    # With more than thirty attributes in one dictionary, Python makes a whole one for each object: 1.2 KB.
    __slots__ = (
        "_body_left",
        "_busy",
        "_closes",
        "_deadline",
        "_early",
        "_fields",
        "_gate",
        "_half_closed",
        "_in_head",
        "_left",
        "_lingering",
        "_looks",
        "_refusal",
        "_reply",
        "_rest",
        "_shed_at",
        "_unkept",
        "_unreadable",
        "on_reset",
        "was_reset",
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.url = b""
        self._gate: Gate | None = self.app_state.get(GATE)
        self._in_head = True
        self._unkept = 0  # bytes of this head, or since the last piece of a body
        self._body_left = 0  # bytes of this request's body, where its length is declared
        self._refusal: FilmgateError | None = None
        self._busy = False  # with a request that is not answered yet
        self._early = self._lingering = False  # the reply to be written is the last one; nothing more is read
        self._unreadable = False  # what came behind the last request in the pipeline
        self._rest = 0  # bytes still to come of the body of a request that the gate refused
        self._closes = False  # behind that body
        self._shed_at = -math.inf  # when the last one was refused
        self._deadline: asyncio.TimerHandle | None = None
        self._looks: asyncio.TimerHandle | None = None  # at what the caller has not taken
        self._left = 0  # bytes of it at the last look; 0 if it took some since
        self._reply: ServedReply | None = None  # the last one
        self._half_closed = False  # by the caller, as at the end of any connection
        self.was_reset = False  # the caller's end was closed with our last reply in it, or before that arrived
        self.on_reset: Callable[[], None] | None = None  # until the next request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A caller has connected."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(COPIED_BYTES)  # with TLS it would be 512 KB
        if len(self.connections) > ROOM.most and not ROOM.let_go():
            self._refuse(Unavailable("Too many connections are open; try again in a moment."))
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._waits_no_more()
        ROOM.leave(self)
        if self._looks is not None:
            self._looks.cancel()
        self.was_reset |= exc is not None and not self._half_closed
        self._leave()
        super().connection_lost(exc)
        if self._reply is not None:
            self._reply.lose()  # uvicorn tells only the last request of a pipeline
        if self.was_reset and self.on_reset is not None:
            self.on_reset()
        self.on_reset = self._reply = None

    def eof_received(self) -> None:
        """The caller sends no more, and has disconnected."""
        self._half_closed, self.was_reset = True, is_reset(self.transport)
        self._leave()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Give bytes to the parser in pieces, so that an excess is noticed before it is kept."""
        if self._lingering:
            self._unkept += len(data)
            if self._unkept > LINGER_BYTES:
                self.transport.abort()
            return
        if self._rest or self._may_shed():
            data = self._shed(data)
        start = 0
        while start < len(data) and not self._is_over():
            room = HEAD_BYTES - self._unkept if self._in_head else max(HEAD_BYTES, self._body_left)
            if room <= 0 or self._unkept > HEAD_BYTES:
                self._refuse(self._too_large())
                return
            piece = data[start : start + room]
            start += len(piece)
            self._unkept += len(piece)
            super().data_received(piece)
        if self._in_head and self._unkept and not self._is_over():
            self._wait_for_head()

    def pause_writing(self) -> None:
        """The caller takes a reply more slowly than it is written."""
        super().pause_writing()
        ROOM.wait(self)
        self._require_reader()

    def resume_writing(self) -> None:
        """The caller has taken most of it."""
        super().resume_writing()
        self._left = 0
        if self._busy:
            ROOM.leave(self)

    def on_headers_complete(self) -> None:
        """Check the head before anything is begun."""
        self._waits_no_more()
        self._unkept = 0
        self._require_few_fields()
        fields = dict(self.headers)
        declared = fields.get(b"content-length", b"")
        self._body_left = int(declared) if declared.isdigit() and b"transfer-encoding" not in fields else 0
        hosts = [name for name, _ in self.headers].count(b"host")
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise self._refused(Malformed("Name HTTP/1.1 in the request line."))
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise self._refused(Malformed("A request names one Host.", code=Code.INVALID_HEADER))
        if len(self.pipeline) >= PIPELINED:
            raise self._refused(Malformed("Wait for answers before you send more requests."))
        self._in_head = False
        begins, self.on_reset = not self._busy, None  # who sends another request has read the last reply
        super().on_headers_complete()
        self._busy = True
        if begins and self._gate is not None:
            self._gate.expect(self.scope["method"], self.scope["path"])
        raw_path = self.scope["raw_path"]
        if b"%2" in raw_path:  # a slash that a proxy in front did not see as one is none here either
            kept = raw_path.replace(b"%2f", b"%252F").replace(b"%2F", b"%252F")
            self.scope["path"] = unquote(kept.decode("ascii"))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unkept = 0
        self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; the next head follows."""
        self._require_few_fields()  # with those behind a body in chunks
        self._in_head, self._unkept = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The reply is written."""
        self._require_reader()
        if self._is_last() and not self.transport.is_closing():
            self._linger()
            return
        self._busy = bool(self.pipeline)
        super().on_response_complete()
        if self._in_head and self._unkept:
            self._wait_for_head()
        elif self._in_head and not self._busy:
            ROOM.wait(self)  # for as long as uvicorn keeps an idle connection

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words for it
        """After an error of the parser: the bytes are not HTTP, or we refused them."""
        if not self.transport.is_closing():
            self._refuse(self._refusal or Malformed("This is no HTTP request that can be read."))

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log for each caller who asks for a WebSocket."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if is_draining(self.app_state):
            cycle.keep_alive = False  # the reply says so, and a balancer opens its next connection elsewhere
        transport = OneWrite(self.transport)
        cycle.transport = cast("Any", transport)

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_and_leave(message: Message) -> None:
                if self.scheme == "https" and len(message.get("body", b"")) > COPIED_BYTES:
                    await send_in_pieces(send, message)
                    return
                if message["type"] != "http.response.start":
                    await send(message)
                    return
                if cycle.more_body or self._is_last():
                    others = [field for field in message.get("headers", []) if field[0].lower() != b"connection"]
                    message["headers"] = [*others, (b"connection", b"close")]
                elif has_body(scope, message):
                    transport.keep_head()
                early = cycle.more_body
                await send(message)
                if early:
                    self._early, cycle.keep_alive = True, True  # closed by us, once what still comes was let go by

            if not cycle.more_body:
                scope[WHOLE] = True
            scope[HANDOVER] = self._reply = ServedReply(self, cycle)
            try:
                await self._reply.make(cast("ASGIApp", app), scope, receive, send_and_leave)
            finally:
                scope.pop(HANDOVER, None)  # a reference cycle would live until the collector runs

        super()._start_asgi_task(cycle, cast("Any", answered))

    def _shed(self, data: bytes) -> bytes:
        """Refuse the plain requests that the gate has no room for; the bytes that are left."""
        while data:
            if self._rest:
                size = min(self._rest, len(data))
                self._rest -= size
            else:
                size = 0 if self.flow.write_paused or self._is_over() else self._refuse_first(data)
                if not size:
                    break
            data = data[size:]
            if self._closes and not self._rest:
                self.transport.close()
        return data

    def _may_shed(self) -> bool:
        """A head may begin here, no other request is open, and the gate may refuse it."""
        if self._gate is None or not self._gate.is_busy or self._busy or self._unkept or not self._in_head:
            return False
        return not self.flow.write_paused and not self._is_over()

    def _refuse_first(self, data: bytes) -> int:
        """Refuse the request at the start of the data; the size of its head, 0 if it is not refused here."""
        if (head := plain_head(data)) is None or head.kind is None:
            return 0
        refusal = cast("Gate", self._gate).refuse(head.kind, fal=head.fal)
        if refusal is None:
            return 0
        pieces = raw_refusal(refusal, head.path, head.closes, *self.server_state.default_headers)
        self.transport.write((b"%032x" % random.getrandbits(128)).join(pieces))
        self._rest, self._closes, self._shed_at = head.body, head.closes, self.loop.time()
        ROOM.wait(self, anew=True)
        return head.size

    def _require_few_fields(self) -> None:
        if len(self.headers) > HEAD_FIELDS:
            raise self._refused(HeadTooLarge(f"A request has at most {HEAD_FIELDS} header fields."))

    def _too_large(self) -> FilmgateError:
        if self._in_head and len(self.url) > HEAD_BYTES - 1024:
            return AddressTooLong(f"An address has less than {HEAD_BYTES // 1024} KB.")
        return HeadTooLarge(f"The head of a request has at most {HEAD_BYTES // 1024} KB.")

    def _is_over(self) -> bool:
        return self._lingering or self.transport.is_closing()

    def _is_last(self) -> bool:
        """No request that may come after the present one is answered."""
        return self._early or (self._unreadable and not self.pipeline)

    def _refused(self, error: FilmgateError) -> Exception:
        """What to raise in the middle of the parser's work; it ends in `send_400_response`."""
        self._refusal = error
        return httptools.HttpParserCallbackError(error.message)

    def _refuse(self, error: FilmgateError) -> None:
        """Answer without the application, and end the connection."""
        self._waits_no_more()
        if self._early or self._unreadable:
            return
        if self._busy and (self._in_head or self.pipeline):
            if not self._in_head:
                self.pipeline.popleft()  # this request; those before it are answered first
            self._unreadable = self.cycle.keep_alive = True
            return
        if self._busy and self.cycle.response_started:
            self.transport.close()  # its answer is on its way
            return
        if self._busy:
            self.cycle.disconnected = True  # it is answered here
            self.cycle.message_event.set()
        scope = {"path": "/", "method": "GET", "headers": [], "trace_id": (trace_id := new_nonce())}
        response = problem(error, scope=scope, base_url="")
        response.headers.update({"Connection": "close", "X-Request-ID": trace_id})
        self._write(error.status, response.raw_headers, bytes(response.body))
        self._linger()

    def _write(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer, without the application."""
        lines = field_lines([*self.server_state.default_headers, *headers])
        self.transport.write(b"".join([STATUS_LINE[status], lines, b"\r\n", body]))

    def _linger(self) -> None:
        """Read no more requests, and close when the caller has had time to read the reply."""
        self._lingering = True
        self._waits_no_more()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _leave(self) -> None:
        """A reply that is not written by now does not arrive, although it will be written."""
        if self._reply is not None and not self._reply.complete:
            self._reply.has_left = True

    def _wait_for_head(self) -> None:
        if self._busy:
            return  # a head behind a request that is still being answered has the time that the answer takes
        ROOM.wait(self)
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _waits_no_more(self) -> None:
        if not self.flow.write_paused:
            ROOM.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _require_reader(self) -> None:
        """Look again later at what the caller has not taken by now, if there is anything."""
        if self._looks is None and self.transport.get_write_buffer_size():
            self._looks = self.loop.call_later(READ_SECONDS, self._end_unless_taking)

    def _end_unless_taking(self) -> None:
        """End a connection that took nothing since the last look: what it leaves would be kept for ever."""
        self._looks, left = None, self.transport.get_write_buffer_size()
        if 0 < self._left <= left:
            self.transport.abort()
            return
        self._left = left
        self._require_reader()

    def _head_is_late(self) -> None:
        self._deadline = None
        if (left := self._left_after_a_refusal(HEAD_SECONDS)) > 0:
            self._deadline = self.loop.call_later(left, self._head_is_late)
        elif self._unkept:
            self._refuse(TooSlow(f"The head did not arrive within {HEAD_SECONDS:g} seconds."))
        else:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """As uvicorn's, but a refusal counts as activity."""
        if (left := self._left_after_a_refusal(self.timeout_keep_alive)) > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _left_after_a_refusal(self, seconds: float) -> float:
        """What is left of the seconds after the last refusal; a timer for each would cost more than the refusal."""
        return self._shed_at + seconds - self.loop.time()
