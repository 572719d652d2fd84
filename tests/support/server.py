"""Starts `filmgate serve` as a real process, for what needs real HTTP."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from app.egress import trusted_roots
from tests.support.redis_server import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
STOP_SECONDS = 30


class Server:
    """One API process on a port of its own; `url` has no trailing slash. What it prints goes to `log`.

    `descriptors` is how many files and connections it may have open.
    """

    def __init__(
        self, environment: Mapping[str, str], *, log: Path | None = None, descriptors: int | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, **environment, "FILMGATE_PORT": str(self.port)}
        self._log = log or Path(os.devnull)
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> "Server":
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "app.cli", "serve"]
        if self._descriptors is not None:
            command = ["prlimit", f"--nofile={self._descriptors}", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; our own module
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        async with httpx.AsyncClient(trust_env=False, verify=trusted_roots()) as web:

            async def answers() -> bool:
                assert self._process is not None
                assert self._process.poll() is None, "the server has ended"
                try:
                    return (await web.get(f"{self.url}/livez")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(answers, "the server answers", timeout=START_SECONDS)
        return self

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    async def stop(self) -> int:
        """SIGTERM, as a deployment does; the exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def send(self, request: bytes, *, timeout: float = 10) -> bytes:
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
    environment: Mapping[str, str], *, log: Path | None = None, descriptors: int | None = None
) -> AsyncIterator[Server]:
    """An API process for the length of an `async with` block."""
    server = Server(environment, log=log, descriptors=descriptors)
    try:
        yield await server.start()
    finally:
        await server.stop()


class EventReader:
    """Reads the frames of one stream of server-sent events, one after the other."""

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
        """All further events, up to the end of the stream."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found
