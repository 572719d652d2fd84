"""A port in front of an HTTP server, at which one exchange can be cut in the middle while a process dies."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
CHUNK = 1 << 16


class Cut(Enum):
    """Where the exchange ends; the names are those of the matrix."""

    REQUEST_HALF = "wire.request_half"  # half of the body has reached the server
    REPLY_LOST = "wire.reply_lost"  # the server has answered, and nobody reads it
    REPLY_HALF = "wire.reply_half"  # half of the answer has reached the client


class Wire:
    """Hands bytes on to the server at `port`; `url` is where clients find it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: tuple[Cut, bytes, Callable[[int], None]] | None = None
        self._countdown = 0
        self.url = ""

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, where: Cut, start: bytes, *, nth: int, kill: Callable[[int], None]) -> None:
        """Cut the nth new connection whose first request begins with `start`; `kill` is told the client's port."""
        self._cut, self._countdown = (where, start, kill), nth

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                answers, requests = await asyncio.open_connection("127.0.0.1", self._target, limit=CHUNK)
                try:
                    await self._exchange(reader, writer, answers, requests)
                finally:
                    requests.transport.abort()
        finally:
            writer.transport.abort() if task.cancelling() else writer.close()
            self._tasks.discard(task)

    async def _exchange(self, reader: Reader, writer: Writer, answers: Reader, requests: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        cut = self._cut if self._is_the_one(head) else None
        if cut is None:
            requests.write(head)
            ways = [asyncio.create_task(_pump(reader, requests)), asyncio.create_task(_pump(answers, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            return
        where, _, kill = cut
        self._cut = None
        body = await reader.readexactly(_length(head))
        requests.write(head + (body[: len(body) // 2] if where is Cut.REQUEST_HALF else body))
        await requests.drain()
        if where is not Cut.REQUEST_HALF:
            answer = await answers.read(CHUNK)
            writer.write(answer[: len(answer) // 2] if where is Cut.REPLY_HALF else b"")
            await writer.drain()
        kill(writer.get_extra_info("peername")[1])

    def _is_the_one(self, head: bytes) -> bool:
        if self._cut is None or not head.startswith(self._cut[1]):
            return False
        self._countdown -= 1
        return self._countdown == 0


async def _pump(reader: Reader, writer: Writer) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def owner_of(port: int, pids: Iterable[int]) -> int:
    """Which of these processes has the connection whose own end is this port (IPv4, Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(entry.readlink()) in inodes:
                        return pid
    raise AssertionError(f"none of {list(pids)} has port {port}")
