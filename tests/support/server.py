"""`filmgate serve` as a process, for tests that need real HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from app.tls import trusted_roots
from tests.support.processes import COMMAND, Process, clean_environment, free_port
from tests.support.waiting import wait_until

START_SECONDS = 30


class Server(Process):
    """One API process; it keeps its port across `kill` and `start`.

    `url` has no trailing slash, and is https where the settings have a certificate; `descriptors` is how many files
    and connections it may open.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        *,
        port: int | None = None,
        log: Path | None = None,
        descriptors: int | None = None,
    ) -> None:
        self.port = free_port() if port is None else port
        self.url = f"{'https' if 'FILMGATE_TLS_CERT' in settings else 'http'}://127.0.0.1:{self.port}"
        limit = [] if descriptors is None else ["prlimit", f"--nofile={descriptors}"]
        at_once = {"FILMGATE_DRAIN_SECONDS": "0"}  # no balancer is in front
        environment = clean_environment(**{**at_once, **settings, "FILMGATE_PORT": str(self.port)})
        super().__init__([*limit, *COMMAND, "serve"], environment, log=log)

    async def ready(self, *, timeout: float = START_SECONDS) -> Self:
        """Wait until it answers."""
        async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:

            async def answers() -> bool:
                assert self.running, "the server has ended"
                try:
                    return (await web.get(f"{self.url}/livez")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(answers, "the server answers", timeout=timeout)
        return self

    def send_raw(self, request: bytes, *, timeout: float = 10) -> bytes:
        """The raw answer to raw bytes, up to the end of the connection or `timeout` seconds of silence."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            try:
                connection.sendall(request)
                while chunk := connection.recv(65_536):
                    answer += chunk
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
        return answer


@asynccontextmanager
async def running_server(
    settings: Mapping[str, str], *, log: Path | None = None, descriptors: int | None = None
) -> AsyncIterator[Server]:
    """An API process for an `async with` block."""
    server = Server(settings, log=log, descriptors=descriptors).start()
    try:
        yield await server.ready()
    finally:
        await asyncio.to_thread(server.stop)


class EventReader:
    """Reads the frames of one stream of server-sent events."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def frame(self, *, timeout: float = 15) -> dict[str, Any] | None:
        """The next frame: `event`, `id`, `retry`, `data` (decoded), `comment`; None at the end."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(timeout):
            async for line in self._lines:
                if not line:
                    if found:
                        return found
                    continue
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                found[name or "comment"] = json.loads(value) if name == "data" else value
        return None

    async def event(self, *, timeout: float = 15) -> dict[str, Any] | None:
        """The next frame that is not a comment."""
        while (frame := await self.frame(timeout=timeout)) is not None:
            if "event" in frame:
                return frame
        return None

    async def rest(self) -> list[dict[str, Any]]:
        """All remaining events, up to the end of the stream."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found
