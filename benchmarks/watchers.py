"""Many event streams, opened and read by a separate process: `python -m benchmarks.watchers`.

It reads an order from stdin, opens every stream, prints a line, and reads events until its stdin is closed; then it
prints for how long each event was on its way.
"""

import asyncio
import contextlib
import json
import re
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast

import uvloop

from benchmarks.processes import NotMeasured, generator

OPEN_SECONDS = 120.0
AT_ONCE = 50
CANCELED = re.compile(rb"event: job\.canceled\r?\n(?:[a-z]+: [^\n]*\n)*?data: (\{[^\n]*\})\r?\n")
OPENED = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Watched:
    """A stream to open, with its key."""

    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Order:
    """All streams of one API."""

    port: int
    streams: list[Watched]


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds from an event's time to its arrival at each stream, ascending; `lost`: streams that had none."""

    ms: list[float]
    lost: int


class Watching:
    """The running watchers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def seen(self, seconds: float) -> Seen:
        """Ends all streams; what they have received.

        Raises:
            NotMeasured: the watchers gave no report in this time.
        """
        try:
            async with asyncio.timeout(seconds):
                answer, _ = await self._process.communicate(b"")  # which closes its stdin
            return Seen(**json.loads(answer))
        except (TimeoutError, ValueError):
            raise NotMeasured("The watchers of the streams gave no report.") from None


@asynccontextmanager
async def watching(order: Order) -> AsyncIterator[Watching]:
    """Every stream is open at the begin of the block.

    Raises:
        NotMeasured: one was refused, or it took too long.
    """
    async with generator("benchmarks.watchers") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        opened = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                opened = await process.stdout.readline()
        if opened != b"opened\n":
            raise NotMeasured(f"The streams did not open: {opened.decode(errors='replace') or 'it took too long'}")
        yield Watching(process)


class _Stream(asyncio.Protocol):
    """One stream: collects the arrival of each `job.canceled`, after which a job's own stream ends."""

    def __init__(self, watched: Watched, found: list[tuple[float, str]]) -> None:
        self._watched, self._found = watched, found
        self._rest = b""
        self._received = 0
        self.opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = (
            f"GET {self._watched.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {self._watched.key}\r\n\r\n"
        )
        cast("asyncio.Transport", transport).write(head.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = not self._received
        if not self.opened.done():
            self.opened.set_result(f"closed: {exc}")

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result("" if data.startswith(OPENED) else data[:300].decode(errors="replace"))
        now = time.time()
        data = self._rest + data
        last = 0
        for found in CANCELED.finditer(data):
            self._found.append((now, found[1].decode()))
            self._received += 1
            last = found.end()
        self._rest = data[last:][-8192:]


async def _run(order: Order) -> None:
    loop = asyncio.get_running_loop()
    found: list[tuple[float, str]] = []
    streams: list[_Stream] = []
    for first in range(0, len(order.streams), AT_ONCE):
        some = [_Stream(watched, found) for watched in order.streams[first : first + AT_ONCE]]
        for stream in some:
            await loop.create_connection(lambda stream=stream: stream, "127.0.0.1", order.port)  # type: ignore[misc]
        for refusal in await asyncio.gather(*(stream.opened for stream in some)):
            if refusal:
                print(refusal.replace("\n", " "), flush=True)
                return
        streams += some
    print("opened", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    late = [(now - datetime.fromisoformat(json.loads(text)["timestamp"]).timestamp()) * 1000 for now, text in found]
    print(json.dumps(asdict(Seen(sorted(late), sum(stream.lost for stream in streams)))), flush=True)


def main() -> None:
    """Reads an Order as JSON from the first line of stdin."""
    values = json.loads(sys.stdin.readline())
    order = Order(values["port"], [Watched(**stream) for stream in values["streams"]])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(order))


if __name__ == "__main__":
    main()
