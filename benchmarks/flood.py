"""Requests at a fixed rate, independent of replies, from a separate process: `python -m benchmarks.flood`.

Prepared bytes over kept connections, and as little work as can be: it shares the machine with what it measures.
"""

import asyncio
import json
import math
import os
import random
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import uvloop

from benchmarks.processes import report_of

TICK_S = 0.001
GRACE_S = 5.0  # for replies after the last request
LENGTH = b"content-length: "
LAST_CHUNK = b"0\r\n\r\n"
REFUSED = {"429", "503"}


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind, sent in turn.

    With a `rate` they are due at random, so many a second on average, whatever became of those before; one for
    which no connection is idle waits, and is still measured from when it was due. Without, each connection sends
    its next when the one before is answered.
    """

    name: str
    requests: list[str]
    connections: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Flood:
    """What to send, for how many seconds, and on which core."""

    port: int
    seconds: float
    streams: list[Stream]
    core: int | None = None


@dataclass(slots=True)
class StreamResult:
    """The result of one stream; times are in ms, `[p50, p99, highest]`.

    Attributes:
        due: requests that were due.
        unsent: of them those that never found an idle connection.
        unanswered: sent, and without an answer five seconds after the end, or before the connection broke.
        statuses: answers by their status.
        accepted: answers but refusals and server errors until the end, a second.
        late: from due to sent, which is the generator's own lag, or the wait for a connection.
        served: from due to the answer, but refusals; `served_sent` from when it was sent.
        refused: the same of refusals (429, 503); `refused_sent` from when it was sent.
    """

    due: int = 0
    unsent: int = 0
    unanswered: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    accepted: float = 0.0
    late: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    served_sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    refused_sent: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all streams by name, and the cores used by the generator."""

    streams: dict[str, StreamResult]
    cores: float


async def flood(order: Flood) -> Report:
    """Send it from another process.

    Raises:
        NotMeasured: that process gave no report.
    """
    limit = order.seconds + 4 * GRACE_S
    report = await report_of("benchmarks.flood", order, seconds=limit, failed="The generator gave no report.")
    return Report({name: StreamResult(**result) for name, result in report["streams"].items()}, report["cores"])


class _Wire(asyncio.Protocol):
    """One kept connection, with one request at a time."""

    def __init__(self, answered: Callable[["_Wire", str], None], broken: Callable[["_Wire"], None]) -> None:
        self._answered, self._broken = answered, broken
        self._rest = b""
        self.transport: Any = None
        self.due = self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._broken(self)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not _is_whole(data):
            self._rest = data
            return
        self._rest = b""
        self._answered(self, data[9:12].decode())


def _is_whole(data: bytes) -> bool:
    """True when a reply has arrived to its end, which is after its length, or after an empty chunk."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    at = data[:head].lower().find(LENGTH)
    if at < 0:
        return data.endswith(LAST_CHUNK)
    return len(data) >= head + 4 + int(data[at + len(LENGTH) : data.find(b"\r", at)])


class _Sender:
    """Sends one stream."""

    def __init__(self, stream: Stream, port: int) -> None:
        self._stream = stream
        self._port = port
        self._requests = cycle([request.encode() for request in stream.requests])
        self._idle: list[_Wire] = []
        self._busy: set[_Wire] = set()
        self._waiting: deque[float] = deque()  # when each was due
        self._opening: set[asyncio.Task[Any]] = set()
        self._times: dict[bool, list[tuple[float, float]]] = defaultdict(list)
        self._late: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._due = self._accepted = self._broken = self._missing = 0
        self._closed = False
        self._end = math.inf

    async def connect(self) -> None:
        for _ in range(self._stream.connections):
            await self._open()

    async def run(self, seconds: float) -> StreamResult:
        began = time.perf_counter()
        self._end = began + seconds
        if self._stream.rate:
            await self._pour(began)
        else:
            while self._idle:
                self._due += 1
                self._send(self._idle.pop(), time.perf_counter())
            await asyncio.sleep(seconds)
        while (self._busy or self._waiting) and time.perf_counter() < self._end + GRACE_S:  # noqa: ASYNC110  an event would cost a check for each answer
            await asyncio.sleep(0.05)
        self._closed = True
        return self._result(seconds)

    async def _pour(self, began: float) -> None:
        clock, gap = time.perf_counter, partial(random.expovariate, self._stream.rate)
        due = began + gap()
        while due < self._end:
            now = clock()
            while due <= now and due < self._end:
                self._due += 1
                if self._idle:
                    self._send(self._idle.pop(), due)
                else:
                    self._waiting.append(due)
                    if self._missing:
                        self._reopen()
                due += gap()
            await asyncio.sleep(TICK_S)

    def _send(self, wire: _Wire, due: float) -> None:
        wire.due, wire.sent = due, time.perf_counter()
        self._late.append(wire.sent - due)
        self._busy.add(wire)
        wire.transport.write(next(self._requests))

    def _answered(self, wire: _Wire, status: str) -> None:
        now = time.perf_counter()
        self._statuses[status] += 1
        self._times[status in REFUSED].append((now - wire.due, now - wire.sent))
        if now < self._end and status < "500" and status not in REFUSED:
            self._accepted += 1
        self._busy.discard(wire)
        self._go_on(wire, now)

    def _go_on(self, wire: _Wire, now: float) -> None:
        if self._waiting:
            self._send(wire, self._waiting.popleft())
        elif not self._stream.rate and now < self._end:
            self._due += 1
            self._send(wire, now)
        else:
            self._idle.append(wire)

    def _lost(self, wire: _Wire) -> None:
        if self._closed:
            return
        if wire in self._busy:
            self._busy.discard(wire)
            self._broken += 1
        elif wire in self._idle:
            self._idle.remove(wire)
        self._missing += 1
        if not self._stream.rate:
            self._reopen()

    def _reopen(self) -> None:
        """One more connection, when it is needed: the server closes those that nobody used for five seconds."""
        self._missing -= 1
        task = asyncio.ensure_future(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: _Wire(self._answered, self._lost), "127.0.0.1", self._port)
        self._go_on(wire, time.perf_counter()) if self._end < math.inf else self._idle.append(wire)

    def _result(self, seconds: float) -> StreamResult:
        served, refused = self._times[False], self._times[True]
        return StreamResult(
            due=self._due,
            unsent=len(self._waiting),
            unanswered=len(self._busy) + self._broken,
            statuses=dict(self._statuses),
            accepted=self._accepted / seconds,
            late=_levels(self._late),
            served=_levels([due for due, _ in served]),
            served_sent=_levels([sent for _, sent in served]),
            refused=_levels([due for due, _ in refused]),
            refused_sent=_levels([sent for _, sent in refused]),
        )


def _levels(seconds: list[float]) -> list[float]:
    """Milliseconds `[p50, p99, highest]`; empty without times."""
    if not seconds:
        return []
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return [1000 * ordered[math.ceil(share * last)] for share in (0.5, 0.99, 1.0)]


async def _run(order: Flood) -> Report:
    senders = {stream.name: _Sender(stream, order.port) for stream in order.streams}
    for sender in senders.values():
        await sender.connect()
    cpu, began = time.process_time(), time.perf_counter()
    results = await asyncio.gather(*(sender.run(order.seconds) for sender in senders.values()))
    cores = (time.process_time() - cpu) / (time.perf_counter() - began)
    return Report(dict(zip(senders, results, strict=True)), cores)


def main() -> None:
    """Reads a Flood as JSON from stdin, sends it, prints the Report as JSON."""
    values = json.loads(sys.stdin.read())
    order = Flood(**{**values, "streams": [Stream(**stream) for stream in values["streams"]]})
    if order.core is not None:
        os.sched_setaffinity(0, {order.core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(order)))))


if __name__ == "__main__":
    main()
