"""A proxy as companies have one: CONNECT to the places that it knows, for those who know its password."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Self

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
CHUNK = 1 << 16


class ConnectProxy:
    """`async with ConnectProxy({"queue.fal.example:443": 40123}) as proxy`: the way to ports of this machine.

    `asked` holds what was to be reached, `refused` counts callers without the right password; to what it does not
    know the answer is 502.
    """

    def __init__(self, leads: Mapping[str, int], *, user: str = "", password: str = "") -> None:
        self._leads = leads
        self._login = f"{user}:{password}" if user else ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []
        self.refused = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Its URL, with user and password where it has them."""
        return f"http://{f'{self._login}@' if self._login else ''}127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        login = f"proxy-authorization: basic {b64encode(self._login.encode()).decode()}\r\n".lower()
        if self._login and login not in head.lower():
            self.refused += 1
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked.append(target)
        if method != "CONNECT" or target not in self._leads:
            writer.write(b"HTTP/1.1 502 Not here\r\nContent-Length: 0\r\n\r\n")
            return
        answers, requests = await asyncio.open_connection("127.0.0.1", self._leads[target])
        writer.write(b"HTTP/1.1 200 Go ahead\r\n\r\n")
        ways = [asyncio.create_task(_pump(reader, requests)), asyncio.create_task(_pump(answers, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            requests.transport.abort()


async def _pump(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
