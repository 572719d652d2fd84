"""A port in front of a TLS server at which one answer is lost: all bytes pass, but those of the first answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 1 << 16
REQUEST = 2  # the client's first chunk says hello; from the second on the handshake is done, and the request comes


class Swallower:
    """Swallows what the server says on the first connection after its handshake, until `cut` closes it.

    The server has written its whole answer, and cannot know that nobody has it. `connections` counts.
    """

    def __init__(self, target: int) -> None:
        self.connections = 0
        self.port = 0
        self._target = target
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Close the first connection: its client learns that there will be no answer."""
        self._cut.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.connections += 1
        asked = None if self.connections > 1 else asyncio.Event()
        answers, requests = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [self._up(reader, requests, asked), self._down(answers, writer, asked)]
        ways += [] if asked is None else [_until(self._cut)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            requests.close()
            writer.close()

    @staticmethod
    async def _up(
        reader: asyncio.StreamReader, requests: asyncio.StreamWriter, asked: asyncio.Event | None
    ) -> None:
        count = 0
        while chunk := await reader.read(CHUNK):
            count += 1
            if asked is not None and count >= REQUEST:
                asked.set()
            requests.write(chunk)
            await requests.drain()

    @staticmethod
    async def _down(
        answers: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event | None
    ) -> None:
        while chunk := await answers.read(CHUNK):
            if asked is None or not asked.is_set():
                writer.write(chunk)
                await writer.drain()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


@asynccontextmanager
async def swallowing(target: int) -> AsyncIterator[Swallower]:
    """Listens for the length of the block in front of this port."""
    made, tasks = Swallower(target), set[asyncio.Task[None]]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError):
            await made.accept(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
