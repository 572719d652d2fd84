"""A port in front of a server that can lose bytes: requests, answers, or the middle of an exchange."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.tcp_server import CHUNK, Reader, TcpServer, Writer

Side: TypeAlias = tuple[Reader, Writer]
CHANGES = (b"EVAL", b"MULTI")  # part of every request that changes something in the store
REQUEST = 2  # the client's chunk that has the request; the first one begins TLS's handshake


async def first_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them has ended; cancel the others."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pump(reader: Reader, writer: Writer) -> None:
    """Copy bytes until there are no more."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()


class TcpProxy(TcpServer):
    """Copies bytes unchanged between each client of `port` and the server at port `target` of loopback.

    Subclasses override `exchange`.
    """

    def __init__(self, target: int, *, listening: socket.socket | None = None) -> None:
        super().__init__(listening=listening)
        self._target = target

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """One connection from a client, and one to the server."""
        server = await asyncio.open_connection("127.0.0.1", self._target, limit=CHUNK)
        try:
            await self.exchange((reader, writer), server)
        finally:
            server[1].close()

    async def exchange(self, client: Side, server: Side) -> None:
        """Serve one connection, until one of its sides ends."""
        await first_of(pump(client[0], server[1]), pump(server[0], client[1]))


class Moment(Enum):
    """When a connection to the store is closed."""

    BEFORE = "the request never reaches the store"
    AMID = "the store has the request, and the connection is closed before its answer"
    AFTER = "the store has answered, and the answer is thrown away"


class StoreProxy(TcpProxy):
    """In front of the store: requests and answers can be lost, and the store can die at the same time."""

    _cut: tuple[Moment, Callable[[], None]] | None = None
    _countdown = 0
    _having = b""

    @property
    def url(self) -> str:
        """Its URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(
        self, moment: Moment, *, nth: int = 1, having: bytes = b"", then: Callable[[], None] = lambda: None
    ) -> None:
        """Close the connection at the nth request that changes something, and call `then`; `mend` resets it.

        `having`: count only requests with these bytes.
        """
        self._cut, self._countdown, self._having = (moment, then), nth, having

    def mend(self) -> None:
        """Lose nothing from now on."""
        self._cut = None

    async def exchange(self, client: Side, server: Side) -> None:
        """Serve one connection, until it is cut or one side has ended."""
        lost = asyncio.Event()
        await first_of(self._up(client[0], server[1], lost), self._down(server[0], client[1], lost))

    async def _up(self, reader: Reader, writer: Writer, lost: asyncio.Event) -> None:
        while chunk := await reader.read(CHUNK):
            moment, then = self._cut if self._is_the_one(chunk) and self._cut else (None, None)
            if moment is Moment.AFTER:
                lost.set()
            if moment is not Moment.BEFORE:
                writer.write(chunk)
                await writer.drain()
            if then is not None and moment is not Moment.AFTER:
                then()
                return

    async def _down(self, reader: Reader, writer: Writer, lost: asyncio.Event) -> None:
        while chunk := await reader.read(CHUNK):
            if lost.is_set() and self._cut:
                self._cut[1]()
                return
            writer.write(chunk)
            await writer.drain()

    def _is_the_one(self, chunk: bytes) -> bool:
        if self._cut is None or self._having not in chunk or not any(word in chunk for word in CHANGES):
            return False
        self._countdown -= 1
        return self._countdown == 0


class Cut(Enum):
    """Where an HTTP exchange is cut; the names are those of the crash matrix."""

    REQUEST_HALF = "wire.request_half"  # half of the body has reached the server
    REPLY_LOST = "wire.reply_lost"  # the server has answered, and the client does not get it
    REPLY_HALF = "wire.reply_half"  # half of the answer has reached the client


class HttpProxy(TcpProxy):
    """In front of an HTTP server: one exchange can be cut in the middle while a process dies."""

    _cut: tuple[Cut, bytes, Callable[[int], None]] | None = None
    _countdown = 0

    @property
    def url(self) -> str:
        """Its URL for clients."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self, where: Cut, start: bytes, *, nth: int, kill: Callable[[int], None]) -> None:
        """Cut the nth new connection whose first request begins with `start`; `kill` gets the client's port."""
        self._cut, self._countdown = (where, start, kill), nth

    async def exchange(self, client: Side, server: Side) -> None:
        """Serve one connection; copy only a part of the one to be cut."""
        head = await client[0].readuntil(b"\r\n\r\n")
        if (cut := self._cut) is None or not self._is_the_one(head, cut[1]):
            server[1].write(head)
            await super().exchange(client, server)
            return
        where, _, kill = cut
        self._cut = None
        body = await client[0].readexactly(_length(head))
        server[1].write(head + (body[: len(body) // 2] if where is Cut.REQUEST_HALF else body))
        await server[1].drain()
        if where is not Cut.REQUEST_HALF:
            answer = await server[0].read(CHUNK)
            client[1].write(answer[: len(answer) // 2] if where is Cut.REPLY_HALF else b"")
            await client[1].drain()
        kill(client[1].get_extra_info("peername")[1])

    def _is_the_one(self, head: bytes, start: bytes) -> bool:
        self._countdown -= head.startswith(start)
        return head.startswith(start) and self._countdown == 0


class TlsProxy(TcpProxy):
    """In front of a TLS server: copies all bytes except the first connection's answer, until `cut` closes it.

    The server has written its whole answer. With `swallow` the proxy has read it, so that the server cannot detect
    that it was lost; without, closing the connection resets it.
    """

    def __init__(self, target: int, *, swallow: bool) -> None:
        super().__init__(target)
        self._swallow = swallow
        self._closed = asyncio.Event()

    def cut(self) -> None:
        """Close the first connection: its client learns that no answer will come."""
        self._closed.set()

    async def exchange(self, client: Side, server: Side) -> None:
        """Serve one connection to its end."""
        if self.connections > 1:
            await super().exchange(client, server)
            return
        asked = asyncio.Event()
        await first_of(
            self._up(client[0], server[1], asked), self._down(server[0], client[1], asked), self._ended()
        )

    async def _ended(self) -> None:
        await self._closed.wait()

    async def _up(self, reader: Reader, writer: Writer, asked: asyncio.Event) -> None:
        count = 0
        while chunk := await reader.read(CHUNK):
            count += 1
            if count == REQUEST:
                asked.set()
                if not self._swallow:
                    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's, for both ways
            writer.write(chunk)
            await writer.drain()

    @staticmethod
    async def _down(reader: Reader, writer: Writer, asked: asyncio.Event) -> None:
        while chunk := await reader.read(CHUNK):
            if not asked.is_set():
                writer.write(chunk)
                await writer.drain()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def owner_of(port: int, pids: Iterable[int]) -> int:
    """Which of these processes has the connection whose local port is this one (IPv4, Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(entry.readlink()) in inodes:
                        return pid
    raise AssertionError(f"none of {list(pids)} has port {port}")
