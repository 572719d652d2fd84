"""A real HTTP server that records requests and answers by script, like a customer's webhook receiver."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from tests.support.tcp_server import Reader, TcpServer, Writer
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Received:
    """One request: header names are in lower case, `target` is the path and the query, `at` the time (s)."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, sent after `delay` seconds."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0

    def encoded(self) -> bytes:
        """The bytes on the wire."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reason = HTTPStatus(self.status).phrase if self.status in HTTPStatus._value2member_map_ else "-"
        return f"HTTP/1.1 {self.status} {reason}\r\n{head}\r\n".encode() + self.body


Script: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]
Answer: TypeAlias = int | Reply | Script


def held(reply: Reply, until: asyncio.Event) -> Script:
    """This answer, once the test allows it."""

    async def script(writer: asyncio.StreamWriter) -> None:
        await until.wait()
        writer.write(reply.encoded())
        await writer.drain()

    return script


class Receiver(TcpServer):
    """`async with Receiver() as r:` listens at `r.url` until the block ends.

    `r.answers([500, Reply(429, {"Retry-After": "7"}), script])` sets the answers of the next requests: a status,
    a `Reply`, or a coroutine function that writes the raw bytes itself. Further requests are answered
    200. `r.requests` has what arrived, `r.connections` counts the accepted sockets.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        keep_alive: bool = False,
    ) -> None:
        super().__init__(host, port, tls=tls)
        self.requests: list[Received] = []
        self._keep_alive = keep_alive
        self._answers: deque[Answer] = deque()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def answers(self, answers: Iterable[Answer]) -> None:
        """Add these answers for the next requests."""
        self._answers.extend(answers)

    def recovers(self) -> None:
        """Answer 200 from now on."""
        self._answers.clear()

    async def wait_for(self, count: int, *, timeout: float = 20) -> list[Received]:
        """All requests, once there are at least `count`."""
        await wait_until(lambda: len(self.requests) >= count, f"{count} requests at the receiver", timeout=timeout)
        return self.requests

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection: one request, or as many as come."""
        await self._exchange(reader, writer)
        while self._keep_alive:
            await self._exchange(reader, writer)

    async def _exchange(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(Received(method, target, headers, body))
        answer = self._answers.popleft() if self._answers else 200
        if isinstance(answer, int):
            answer = Reply(answer, {} if self._keep_alive else {"Connection": "close"})
        if isinstance(answer, Reply):
            await asyncio.sleep(answer.delay)
            writer.write(answer.encoded())
            await writer.drain()
        else:
            await answer(writer)
