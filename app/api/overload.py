"""What happens when more is asked than this process can do: an order, a short line, and refusals at once.

The event loop has a line of its own, in which everybody stands behind everybody. So only a few requests are in work
at a time, and who must wait waits here, where a status is not behind a submission.
"""

import asyncio
import json
import random
import re
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from itertools import cycle

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.fal_errors import is_fal_path
from app.api.problems import LONGEST_PATH, problem
from app.api.reply_headers import NO_SNIFFING
from app.domain.errors import Overloaded
from app.domain.ids import new_nonce

TURN = "turn"  # of the scope
GATE = "gate"  # of the state that the server shares with the application
RawReply = tuple[int, list[tuple[bytes, bytes]], bytes]
PACE_S = 0.004  # between two turns, until it has been seen
SHARE = 16  # turns over which the pace is averaged
RETRY_S = (1, 2, 3)  # seconds, one of these in turn, so that not all come back at once
SAY_S = 1.0  # between two lines in the log about it

FIRST_PATHS = re.compile(
    r"/readyz|/v1/jobs/[^/]+(/(cancel|video|events))?|/v1/admin/(status|pause|resume)|/fal/hooks/.+"
    r"|/fal/queue/.+/requests/.+"
)
PATH, TRACE = "/this-request's-path", "this-request's-trace"  # stand for these in words that are made once
READS = {"GET", "HEAD", "OPTIONS"}
UNCOUNTED = "/livez"
KNOWN_REQUESTS = 1024  # whose class is remembered

log = structlog.get_logger()


class Kind(StrEnum):
    """What a request is, in the order in which they are let in."""

    FIRST = "first"  # a job's status, its end, its cancellation; fal's webhooks; what stops the buying
    READ = "read"  # lists, usage, accounts, pages
    WRITE = "write"  # submissions, quotes, uploads, tokens


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much at once, and how long a wait.

    The places together stay below the connections to the store, so that nobody waits there.

    1. `first`, `read`, `write`: places of each class; `fewest` of them remain while a class before it has a line
    2. `longest_wait_s`: who would wait longer, by the pace of the last turns, is refused at once; but a burst of
       `burst` is no overload, and a line has `longest_line` at most
    3. `last_resort_s`: of waiting, where the pace has fallen meanwhile
    4. `work_s`: who is not done by then waits for somebody else, and goes on without a place
    """

    first: int = 24
    read: int = 8
    write: int = 12
    fewest: int = 2
    longest_wait_s: float = 1.0
    burst: int = 64
    longest_line: int = 256
    last_resort_s: float = 2.0
    work_s: float = 1.0


USUAL = Bounds()


def kind_of(method: str, path: str) -> Kind | None:
    """The class of a request; None for what is answered without any work."""
    if path == UNCOUNTED:
        return None
    if FIRST_PATHS.fullmatch(path):
        return Kind.FIRST
    return Kind.READ if method in READS or path.startswith("/v1/admin/") else Kind.WRITE


@lru_cache(KNOWN_REQUESTS)
def _known(method: bytes, path: bytes) -> tuple[Kind | None, bool]:
    """The class of a plain request, and whether it is at one of fal's doors."""
    text = path.decode("ascii")
    return kind_of(method.decode("ascii"), text), is_fal_path(text)


@dataclass
class _Room:
    """The places of one class, and its line. `pace` is the time between two turns, as it was lately.

    `coming` are those whose request has begun and whose task has not: of those that are read together, no more are
    let in than there is room for.
    """

    places: int
    bounds: Bounds
    running: int = 0
    line: deque[asyncio.Future[None]] = field(default_factory=deque)
    pace: float = PACE_S
    turned: float = 0.0
    coming: int = 0
    refused: int = 0  # since the last line in the log

    def is_full(self, waiting: int) -> bool:
        """Nobody more may wait where so many do."""
        bounds = self.bounds
        slow = waiting >= bounds.burst and waiting * self.pace > bounds.longest_wait_s
        return slow or waiting >= bounds.longest_line

    @property
    def refuses(self) -> bool:
        """Whoever comes now is refused, because those before will have filled the line."""
        return self.is_full(len(self.line) + self.coming)

    def arrived(self) -> None:
        """One that was coming stands in line, is at work, or was refused."""
        self.coming -= 1


class Turn:
    """One request's place: held while it works, given back while it waits for anybody."""

    __slots__ = ("_gate", "_held", "_kind", "_timer")

    def __init__(self, gate: "Gate", kind: Kind) -> None:
        self._gate, self._kind = gate, kind
        self._held = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        """False once it was given back."""
        return self._held

    def take(self, seconds: float) -> None:
        """The place is this request's, which was let in, for so many seconds at most."""
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(seconds, self.give_back)

    def give_back(self) -> None:
        """Let somebody else work. Once more changes nothing."""
        if self._held:
            self._held = False
            if self._timer is not None:
                self._timer.cancel()
            self._gate.leave(self._kind)


def waits_without_a_place(request: Request) -> None:
    """Called before a request is held for as long as its caller wants."""
    turn: Turn | None = request.scope.get(TURN)
    if turn is not None:
        turn.give_back()


class Refusal:
    """The answer to a refused request, made once: only the path and the trace id in it are each request's own."""

    def __init__(self, error: Overloaded, *, fal: bool, base_url: str) -> None:
        path = f"/fal{PATH}" if fal else PATH
        example = {"path": path, "method": "POST", "headers": [], "trace_id": TRACE}
        made = problem(error, scope=example, base_url=base_url)
        fields = [field for field in made.raw_headers if field[0] != b"content-length"]
        self._status = made.status_code
        self._headers = [
            *((name, _template(value)) for name, value in fields),
            (b"content-length", b"%(length)d"),
            (b"x-request-id", b"%(trace)b"),
            NO_SNIFFING,
        ]
        self._body = _template(bytes(made.body))
        self._fixed = len(self._body % {b"trace": b"", b"path": b""})
        self._traces = self._body.count(b"%(trace)b")
        self._paths = self._body.count(b"%(path)b")
        lines = b"".join(b"%b: %b\r\n" % field for field in self._headers)
        self._text = b"%b\r\n%b" % (lines, self._body)

    def answer(self, path: str, trace_id: str) -> RawReply:
        """Status, headers and body for one request."""
        own = self._own(json.dumps(path[:LONGEST_PATH])[1:-1].encode(), trace_id.encode())
        return self._status, [(name, value % own) for name, value in self._headers], self._body % own

    def text(self, path: bytes) -> tuple[int, bytes]:
        """Status, and all behind the status line but the server's own fields; the path has plain characters."""
        return self._status, self._text % self._own(path[:LONGEST_PATH], b"%032x" % random.getrandbits(128))

    def _own(self, path: bytes, trace: bytes) -> dict[bytes, bytes | int]:
        length = self._fixed + self._traces * len(trace) + self._paths * len(path)
        return {b"path": path, b"trace": trace, b"length": length}


def _template(text: bytes) -> bytes:
    """What `%` fills in where a path and a trace id stand."""
    text = text.replace(b"%", b"%%")
    return text.replace(PATH.encode(), b"%(path)b").replace(TRACE.encode(), b"%(trace)b")


class Gate:
    """Plain ASGI, before the entrance, so that a refusal costs next to nothing.

    1. each class has its places; while one before it has a line, it keeps few of them
    2. who finds none waits in the line of the class, or is refused at once where that would take too long
    3. a place is for work: it is given back while a body is on its way, when the answer begins, when the call is
       held, and after a while in any case
    4. a refused request has done nothing and changed nothing
    """

    def __init__(self, app: ASGIApp, *, base_url: str, bounds: Bounds = USUAL) -> None:
        self._app = app
        self._base_url = base_url
        self._bounds = bounds
        places = {Kind.FIRST: bounds.first, Kind.READ: bounds.read, Kind.WRITE: bounds.write}
        self._rooms = {kind: _Room(count, bounds) for kind, count in places.items()}
        self._retry = cycle(RETRY_S)
        self._said = 0.0
        self._words: dict[tuple[bool, int], Refusal] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or refuse it."""
        if scope["type"] == "lifespan" and "state" in scope:
            scope["state"][GATE] = self
        kind = kind_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        turn = Turn(self, kind)
        try:
            await self._enter(turn, kind)
        except Overloaded as error:
            words = self._words_for(error.retry_after or RETRY_S[-1], fal=is_fal_path(scope["path"]))
            status, headers, body = words.answer(scope["path"], new_nonce())
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        scope[TURN] = turn

        async def send_and_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                turn.give_back()
            await send(message)

        try:
            await self._app(scope, self._receiving(receive, turn, kind), send_and_leave)
        finally:
            turn.give_back()

    def refusal(self, method: bytes, path: bytes) -> tuple[int, bytes] | None:
        """For the server, before it begins anything for a plain request: `Words.text`, if it is refused now."""
        kind, fal = _known(method, path)
        room = self._rooms[kind] if kind is not None else None
        if room is None or not room.refuses:
            return None
        return self._words_for(self._refused_now(room), fal=fal).text(path)

    def expect(self, method: str, path: str) -> None:
        """From the server, when it has just made a task for a request, which is here as soon as that begins."""
        kind = kind_of(method, path)
        if kind is not None:
            room = self._rooms[kind]
            room.coming += 1
            asyncio.get_running_loop().call_soon(room.arrived)

    @property
    def is_busy(self) -> bool:
        """So many wait that somebody may be refused now."""
        for room in self._rooms.values():  # noqa: SIM110  a third of the time of a generator
            if len(room.line) + room.coming >= self._bounds.burst:
                return True
        return False

    def leave(self, kind: Kind) -> None:
        """One place is free; whoever may go on does."""
        self._rooms[kind].running -= 1
        self._call()

    def _receiving(self, receive: Receive, turn: Turn, kind: Kind) -> Receive:
        """The request's messages; who waits for one that is not there yet waits without a place."""
        loop = asyncio.get_running_loop()

        async def receive_without_a_place() -> Message:
            waits = loop.call_soon(turn.give_back)  # runs only if the message is not there at once
            try:
                message = await receive()
            finally:
                waits.cancel()
            whole = message["type"] == "http.request" and not message.get("more_body", False)
            if whole and not turn.held:
                await self._enter(turn, kind, again=True)
            return message

        return receive_without_a_place

    async def _enter(self, turn: Turn, kind: Kind, *, again: bool = False) -> None:
        """Take a place, in time; Overloaded when that is too long. Who was in already goes on before the others."""
        room = self._rooms[kind]
        if room.line or not self._has_place(kind):
            if room.is_full(len(room.line)) and not again:  # those still coming are behind this one
                raise self._overloaded(room)
            await self._stand(room, kind, again=again)
        else:
            room.running += 1
        turn.take(self._bounds.work_s)

    async def _stand(self, room: _Room, kind: Kind, *, again: bool) -> None:
        place = asyncio.get_running_loop().create_future()
        if not room.line:
            room.turned = time.monotonic()
        room.line.appendleft(place) if again else room.line.append(place)
        try:
            async with asyncio.timeout(self._bounds.last_resort_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave(kind)  # it was given just now, and nobody takes it
            elif place in room.line:
                room.line.remove(place)
            if isinstance(error, TimeoutError):
                raise self._overloaded(room) from None
            raise

    def _has_place(self, kind: Kind) -> bool:
        places = self._rooms[kind].places
        for before, room in self._rooms.items():
            if before is kind:
                break
            if room.line:
                places = self._bounds.fewest
        return self._rooms[kind].running < places

    def _call(self) -> None:
        """Whoever is first in line and has a place now goes on, class by class."""
        for kind, room in self._rooms.items():
            while room.line and self._has_place(kind):
                place = room.line.popleft()
                if place.done():
                    continue
                now = time.monotonic()
                room.pace += (now - room.turned - room.pace) / SHARE
                room.turned = now
                room.running += 1
                place.set_result(None)

    def _overloaded(self, room: _Room) -> Overloaded:
        return Overloaded(retry_after=self._refused_now(room))

    def _refused_now(self, room: _Room) -> int:
        """A refusal is counted; seconds until the next attempt. The log has one line a second, whatever comes."""
        room.refused += 1
        if time.monotonic() >= self._said + SAY_S:
            self._said = time.monotonic()
            rooms = {str(kind): each for kind, each in self._rooms.items() if each.refused}
            log.warning("overload.refused", **{kind: each.refused for kind, each in rooms.items()})
            for each in rooms.values():
                each.refused = 0
        return next(self._retry)

    def _words_for(self, retry_after: int, *, fal: bool) -> Refusal:
        """Made once: thousands of these leave in a second."""
        words = self._words.get((fal, retry_after))
        if words is None:
            words = Refusal(Overloaded(retry_after=retry_after), fal=fal, base_url=self._base_url)
            self._words[fal, retry_after] = words
        return words
