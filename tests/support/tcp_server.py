"""A listening port whose connections a subclass serves; every connection is closed with it."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Self, TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
CHUNK = 1 << 20
GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)


class TcpServer:
    """Listens in an `async with` block, or from `start` to `stop`; `serve` handles one connection.

    The other side may close a connection at any time. `connections` counts them.
    `listening` is its socket.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.connections = 0
        self._tls = tls
        self._listening = listening
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start to listen."""
        where: dict[str, Any] = (
            {"sock": self._listening} if self._listening else {"host": self.host, "port": self.port}
        )
        self._server = await asyncio.start_server(self._accepted, limit=CHUNK, ssl=self._tls, backlog=1000, **where)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection, which is closed afterwards."""
        raise NotImplementedError

    async def _accepted(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(*GONE):
                await self.serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()
            with contextlib.suppress(*GONE):
                await writer.wait_closed()
