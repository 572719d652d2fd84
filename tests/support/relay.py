"""A port in front of the store where requests and answers can be lost, and at which the store can die."""

import asyncio
from collections.abc import Callable
from enum import Enum

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
CHUNK = 1 << 20
CHANGES = (b"EVAL", b"MULTI")  # what every request that changes something holds


class Moment(Enum):
    """When the connection is closed."""

    BEFORE = "the request never reaches the store"
    AMID = "the store has the request, and nobody waits for what it does"
    AFTER = "the store has answered, and the answer is thrown away"


class Relay:
    """Hands bytes on between clients and the store at `port`; `url` is where clients find it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: tuple[Moment, Callable[[], None]] | None = None
        self._countdown = 0
        self.url = ""

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, moment: Moment, *, nth: int = 1, then: Callable[[], None] = lambda: None) -> None:
        """Close the connection at the nth request that changes something, and call `then`; `mend` forgets it."""
        self._cut, self._countdown = (moment, then), nth

    def mend(self) -> None:
        """Lose nothing from now on."""
        self._cut = None

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            answers, requests = await asyncio.open_connection("127.0.0.1", self._target, limit=CHUNK)
        except OSError:  # the store is away: the client sees its connection closed
            writer.close()
            return
        lost = asyncio.Event()
        ways = {
            asyncio.create_task(self._hand_up(reader, requests, lost)),
            asyncio.create_task(self._hand_down(answers, writer, lost)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            requests.close()
            writer.close()
            await asyncio.gather(*ways, return_exceptions=True)
            self._tasks.discard(task)

    async def _hand_up(
        self, reader: asyncio.StreamReader, requests: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        while chunk := await reader.read(CHUNK):
            moment, then = self._cut if self._is_the_one(chunk) and self._cut else (None, None)
            if moment is Moment.AFTER:
                lost.set()
            if moment is not Moment.BEFORE:
                requests.write(chunk)
                await requests.drain()
            if then is not None and moment is not Moment.AFTER:
                then()
                return

    async def _hand_down(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        while chunk := await answers.read(CHUNK):
            if lost.is_set() and self._cut:
                self._cut[1]()
                return
            writer.write(chunk)
            await writer.drain()

    def _is_the_one(self, chunk: bytes) -> bool:
        if self._cut is None or not any(word in chunk for word in CHANGES):
            return False
        self._countdown -= 1
        return self._countdown == 0
