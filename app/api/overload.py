"""Overload: an order of requests, short queues, and immediate refusals.

The event loop has one ready queue for all. So only a few requests run at a time, and the others wait here, where a
status does not queue behind submissions.
"""

import asyncio
import json
import re
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.fal_errors import is_fal_path
from app.api.incoming import WHOLE
from app.api.problems import LONGEST_PATH, problem
from app.api.reply_headers import NO_SNIFFING
from app.domain.errors import Overloaded
from app.domain.ids import new_nonce
from app.metrics.table import OVERLOADS

PERMIT = "permit"  # of the scope
GATE = "gate"  # of the state that the server shares with the application
RawReply = tuple[int, list[tuple[bytes, bytes]], bytes]
FIRST_PACE_S = 0.004  # between two permits, until it was measured
PACE_PERMITS = 16  # over which the pace is averaged
RETRY_S = (1, 2, 3)  # in turn, so that not all callers come back at once
LOG_INTERVAL_S = 1.0

FIRST_PATHS = re.compile(
    r"/readyz|/metrics|/v1/jobs/[^/]+(/(cancel|video|events))?|/v1/admin/(status|pause|resume|jobs/[^/]+/cancel)"
    r"|/fal/hooks/.+|/fal/queue/.+/requests/.+"
)
PATH, TRACE = b"/the-path-of-the-request", b"the-trace-id-of-this-one-request"  # replaced in each reply
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
UNGATED_PATH = "/livez"

log = structlog.get_logger()


class Kind(StrEnum):
    """The class of a request; the first has priority."""

    FIRST = "first"  # a job's status, its end, its cancellation; fal's webhooks; what stops the buying
    READ = "read"  # lists, usage, accounts, pages
    WRITE = "write"  # submissions, quotes, uploads, tokens


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many requests run and wait.

    All permits together are fewer than the connections to the store, so that no request waits for one of those.

    1. `first`, `read`, `write`: permits of each class; only `fewest` of them while a class before it has a queue
    2. `longest_wait_s`: a request that would wait longer, at the recent pace, is refused at once, and so is a write
       while writes have waited all that time: a queue that does not empty only adds to each one's wait. But `burst`
       requests may always wait, and a queue has at most `longest_queue`
    3. `last_resort_s`: the longest wait, if the pace has fallen meanwhile
    4. `work_s`: a request that is not done by then waits for another service, and goes on without a permit
    """

    first: int = 24
    read: int = 8
    write: int = 16
    fewest: int = 2
    longest_wait_s: float = 1.0
    burst: int = 64
    longest_queue: int = 256
    last_resort_s: float = 2.0
    work_s: float = 1.0


USUAL = Bounds()


def kind_of(method: str, path: str) -> Kind | None:
    """The class of a request; None if it needs no permit."""
    if path == UNGATED_PATH:
        return None
    if FIRST_PATHS.fullmatch(path):
        return Kind.FIRST
    return Kind.READ if method in SAFE_METHODS or path.startswith("/v1/admin/") else Kind.WRITE


@dataclass
class _Queue:
    """The permits and the waiters of one class. `pace`: seconds between two permits, averaged.

    `coming`: requests whose tasks were made and have not begun. They count as waiting, so that of requests that are
    read together no more are accepted than the queue holds.
    """

    kind: Kind
    permits: int
    bounds: Bounds
    running: int = 0
    waiters: deque[asyncio.Future[bool]] = field(default_factory=deque)
    pace: float = FIRST_PACE_S
    permitted: float = 0.0  # when the last one was
    waited_since: float = 0.0  # when the first one came after nobody had waited
    coming: int = 0
    refused: int = 0  # since the last line in the log

    def is_full(self, waiting: int) -> bool:
        """No more may wait than these."""
        bounds = self.bounds
        if waiting < bounds.burst:
            return False
        stands = (
            self.kind is Kind.WRITE
            and bool(self.waiters)
            and time.monotonic() - self.waited_since > bounds.longest_wait_s
        )
        return stands or waiting * self.pace > bounds.longest_wait_s or waiting >= bounds.longest_queue

    @property
    def refuses(self) -> bool:
        """The next request is refused: those before it fill the queue."""
        return self.is_full(len(self.waiters) + self.coming)

    def give_up(self, waiter: "asyncio.Future[bool]") -> None:
        """It has waited for too long."""
        if not waiter.done():
            self.waiters.remove(waiter)
            waiter.set_result(False)

    def begun(self) -> None:
        """The task of one that was coming has begun."""
        self.coming -= 1


class Permit:
    """A request's permit: held while it works, released while it waits for something else."""

    __slots__ = ("_gate", "_held", "_kind", "_timer")

    def __init__(self, gate: "Gate", kind: Kind) -> None:
        self._gate, self._kind = gate, kind
        self._held = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        """False once it was released."""
        return self._held

    def hold(self, seconds: float) -> None:
        """Hold it, for so many seconds at most."""
        self._held = True
        self._timer = asyncio.get_running_loop().call_later(seconds, self.release)

    def release(self) -> None:
        """Let another request work; a second call changes nothing."""
        if self._held:
            self._held = False
            if self._timer is not None:
                self._timer.cancel()
            self._gate.leave(self._kind)


def release_permit(request: Request) -> None:
    """To be called before a request is held for as long as its caller wants."""
    permit: Permit | None = request.scope.get(PERMIT)
    if permit is not None:
        permit.release()


class Refusal:
    """The reply to a refused request, rendered once; only the path and the trace id differ between requests."""

    def __init__(self, error: Overloaded, *, fal: bool, base_url: str) -> None:
        path = f"/fal{PATH.decode()}" if fal else PATH.decode()
        example = {"path": path, "method": "POST", "headers": [], "trace_id": TRACE.decode()}
        made = problem(error, scope=example, base_url=base_url)
        self._status = made.status_code
        self._headers = [
            *(field for field in made.raw_headers if field[0] != b"content-length"),
            (b"x-request-id", TRACE),
            NO_SNIFFING,
        ]
        self._body = bytes(made.body)

    def reply(self, path: str, trace_id: bytes) -> RawReply:
        """Status, headers and body for one request."""
        quoted = json.dumps(path[:LONGEST_PATH])[1:-1].encode()
        body = self._body.replace(PATH, quoted).replace(TRACE, trace_id)
        headers = [(name, value.replace(TRACE, trace_id)) for name, value in self._headers]
        return self._status, [*headers, (b"content-length", b"%d" % len(body))], body


class Gate:
    """ASGI middleware in front of the entrance, so that a refusal is cheap.

    1. each class has its permits; while a class before it has a queue, it has few of them
    2. a request without one waits in the queue of its class, or is refused at once if that would take too long
    3. a permit is for work: it is released while a body arrives, when the reply begins, when the call is held, and
       after `work_s`
    4. a refused request has changed nothing
    """

    def __init__(self, app: ASGIApp, *, base_url: str, bounds: Bounds = USUAL) -> None:
        self._app = app
        self._base_url = base_url
        self._bounds = bounds
        permits = {Kind.FIRST: bounds.first, Kind.READ: bounds.read, Kind.WRITE: bounds.write}
        self._queues = {kind: _Queue(kind, count, bounds) for kind, count in permits.items()}
        self._retry = cycle(RETRY_S)
        self._logged = 0.0
        self._refusals: dict[tuple[bool, int], Refusal] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] == "lifespan" and "state" in scope:
            scope["state"][GATE] = self
        kind = kind_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        permit = Permit(self, kind)
        try:
            await self._enter(permit, kind)
        except Overloaded as error:
            refusal = self._refusal(error.retry_after or RETRY_S[-1], fal=is_fal_path(scope["path"]))
            status, headers, body = refusal.reply(scope["path"], new_nonce().encode())
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        scope[PERMIT] = permit

        async def send_and_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                permit.release()
            await send(message)

        try:
            waits = receive if WHOLE in scope else self._receiving(receive, permit, kind)
            await self._app(scope, waits, send_and_leave)
        finally:
            permit.release()

    def refuse(self, kind: Kind, *, fal: bool) -> Refusal | None:
        """For the server, before it begins anything for a request: the refusal, if it is refused now."""
        queue = self._queues[kind]
        return self._refusal(self._refused_now(queue), fal=fal) if queue.refuses else None

    def expect(self, method: str, path: str) -> None:
        """For the server: a request's task was made, and begins in this turn of the loop."""
        kind = kind_of(method, path)
        if kind is not None:
            queue = self._queues[kind]
            queue.coming += 1
            asyncio.get_running_loop().call_soon(queue.begun)

    @property
    def is_busy(self) -> bool:
        """So many wait that the next request may be refused."""
        for queue in self._queues.values():  # noqa: SIM110  a third of the time of a generator
            if len(queue.waiters) + queue.coming >= self._bounds.burst:
                return True
        return False

    def leave(self, kind: Kind) -> None:
        """A permit is free; the next waiters that may run do."""
        self._queues[kind].running -= 1
        self._permit_next()

    def _receiving(self, receive: Receive, permit: Permit, kind: Kind) -> Receive:
        """The request's messages; it waits without a permit for one that has not arrived."""
        loop = asyncio.get_running_loop()

        async def receive_without_permit() -> Message:
            waits = loop.call_soon(permit.release)  # runs only if the message is not there at once
            try:
                message = await receive()
            finally:
                waits.cancel()
            whole = message["type"] == "http.request" and not message.get("more_body", False)
            if whole and not permit.held:
                await self._enter(permit, kind, resumes=True)
            return message

        return receive_without_permit

    async def _enter(self, permit: Permit, kind: Kind, *, resumes: bool = False) -> None:
        """Get a permit; Overloaded if that takes too long. A request that `resumes` goes before the others."""
        queue = self._queues[kind]
        if queue.waiters or not self._has_permit(kind):
            if queue.is_full(len(queue.waiters)) and not resumes:  # those that are coming are behind this one
                raise self._overloaded(queue)
            await self._wait(queue, resumes=resumes)
        else:
            queue.running += 1
        permit.hold(self._bounds.work_s)

    async def _wait(self, queue: _Queue, *, resumes: bool) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()  # its result: whether it has a permit
        if not queue.waiters:
            queue.permitted = queue.waited_since = time.monotonic()
        queue.waiters.appendleft(waiter) if resumes else queue.waiters.append(waiter)
        late = loop.call_later(self._bounds.last_resort_s, queue.give_up, waiter)
        try:
            permitted = await waiter
        except BaseException:
            if waiter in queue.waiters:
                queue.waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.result():
                self.leave(queue.kind)  # it got a permit just now, which nobody uses
            raise
        finally:
            late.cancel()
        if not permitted:
            raise self._overloaded(queue)

    def _has_permit(self, kind: Kind) -> bool:
        permits = self._queues[kind].permits
        for earlier, queue in self._queues.items():
            if earlier is kind:
                break
            if queue.waiters:
                permits = self._bounds.fewest
        return self._queues[kind].running < permits

    def _permit_next(self) -> None:
        """Give free permits to the first waiters, class by class."""
        for kind, queue in self._queues.items():
            while queue.waiters and self._has_permit(kind):
                waiter = queue.waiters.popleft()
                if waiter.done():
                    continue
                now = time.monotonic()
                queue.pace += (now - queue.permitted - queue.pace) / PACE_PERMITS
                queue.permitted = now
                queue.running += 1
                waiter.set_result(True)

    def _overloaded(self, queue: _Queue) -> Overloaded:
        return Overloaded(retry_after=self._refused_now(queue))

    def _refused_now(self, queue: _Queue) -> int:
        """Count a refusal, log once a second; the seconds until the next attempt."""
        queue.refused += 1
        OVERLOADS.add(queue.kind.value)
        if time.monotonic() >= self._logged + LOG_INTERVAL_S:
            self._logged = time.monotonic()
            refusing = [each for each in self._queues.values() if each.refused]
            log.warning("overload.refused", **{each.kind.value: each.refused for each in refusing})
            for each in refusing:
                each.refused = 0
        return next(self._retry)

    def _refusal(self, retry_after: int, *, fal: bool) -> Refusal:
        """Rendered once: thousands of these leave in a second."""
        refusal = self._refusals.get((fal, retry_after))
        if refusal is None:
            refusal = Refusal(Overloaded(retry_after=retry_after), fal=fal, base_url=self._base_url)
            self._refusals[fal, retry_after] = refusal
        return refusal
