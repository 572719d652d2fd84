"""`filmgate up` as a process, and the time until it is ready."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.processes import NotMeasured, environment, free_port, running

START_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Up:
    """The running command; `seconds` from its start to the first 200 of its probe."""

    pid: int
    seconds: float


@asynccontextmanager
async def started(folder: Path, log: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Up]:
    """`filmgate up` with its data in this folder, ready, for the length of the block; `env` adds settings."""
    port = free_port(together=2)  # the emulator takes the second
    settings = {
        **environment(),
        **(env or {}),
        "FILMGATE_PORT": str(port),
        "FILMGATE_DATA_DIR": str(folder / "data"),
    }
    began = time.monotonic()
    async with running("app.cli", "up", env=settings, log=log) as process:
        await _ready(process, f"http://127.0.0.1:{port}/readyz", log)
        yield Up(process.pid, time.monotonic() - began)


async def _ready(process: asyncio.subprocess.Process, probe: str, log: Path) -> None:
    """Waits for the first 200 that misses no worker.

    Raises:
        NotMeasured: the command has ended, or took too long; with the end of its log.
    """
    end = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as web:
        while process.returncode is None and time.monotonic() < end:
            try:
                async with web.get(probe) as answer:
                    if answer.ok and "workers_missing" not in await answer.json():
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.02)
    text = await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace")
    raise NotMeasured(f"`filmgate up` was not ready:\n{text[-1000:]}")
