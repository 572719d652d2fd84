"""Starts measured processes, reads their CPU time and memory, and always ends them."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.children import die_with_parent
from tests.support.processes import children

ROOT = Path(__file__).parents[1]
PORTS = range(7900, 8000)
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0
END_SECONDS = 50.0
PIPE_BYTES = 64 * 1024 * 1024  # of one line of a report
LOG_TAIL = 3000  # characters of a log shown when its process did not start


class NotMeasured(Exception):
    """The run cannot continue; the message is one sentence."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the keys and addresses of a real installation."""
    private = ("FAL_KEY", "FAL_ADMIN_KEY", "FILMGATE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return {**kept, "FILMGATE_LOG_FORMAT": "json", **more}


def free_port(*, together: int = 1) -> int:
    """A free port; with `together`, the first of so many in a row.

    Raises:
        NotMeasured: all of them are taken.
    """
    for port in random.sample(PORTS, len(PORTS)):  # at random: two runs at once seldom want the same one
        if all(_is_free(port + number) for number in range(together)):
            return port
    raise NotMeasured(f"Ports {PORTS[0]} to {PORTS[-1]} are all taken.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process since it began, user and system.

    Raises:
        NotMeasured: there is no such process any more.
    """
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds of several processes together."""
    return sum(map(cpu_seconds, pids))


def tree(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    return [pid, *(below for child, _ in children(pid) for below in tree(child))]


def pss_bytes(pid: int) -> int:
    """Memory of a process; a page that it shares with others counts for its share of it only.

    Raises:
        NotMeasured: there is no such process any more, or it is of another user.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise NotMeasured(f"The memory of process {pid} could not be read: {error.strerror}.") from None
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def keep_to(pid: int, core: int) -> None:
    """Let all threads of a process run on this core only."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def cores() -> list[int]:
    """The cores to which processes can be kept; none where the system cannot do that."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise NotMeasured(f"The process {pid} has ended in the middle of the measurement.") from None


@asynccontextmanager
async def running(*module: str, env: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m MODULE …` for the length of the block; its output goes to the file `log`."""
    async with program(sys.executable, "-m", *module, env=env, log=log) as process:
        yield process


@asynccontextmanager
async def listener(name: str, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """`benchmarks/NAME.py`, which takes its port, for the length of the block: the port and the process id."""
    port, log = free_port(), folder / f"{name}.log"
    async with running(f"benchmarks.{name}", str(port), env=environment(), log=log) as process:
        await listening(process, port, log)
        yield port, process.pid


@asynccontextmanager
async def program(*command: str, env: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command for the length of the block; its output goes to the file `log`.

    It has a session of its own, so that Ctrl-C reaches it through us, in order, and it ends with us at the latest.
    """
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=dict(env),
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    try:
        yield process
    finally:
        await end(process)


@asynccontextmanager
async def generator(module: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m module` for the length of the block, with pipes to and from it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=ROOT,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent(),
        limit=PIPE_BYTES,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await end(process)


async def report_of(module: str, order: Any, *, seconds: float, failed: str) -> Any:
    """Have `python -m module` work on the order, which it reads as JSON; the report that it prints.

    Raises:
        NotMeasured: with the sentence `failed`, where there is no report after so many seconds.
    """
    async with generator(module) as process:
        try:
            async with asyncio.timeout(seconds):
                answer, _ = await process.communicate(json.dumps(asdict(order)).encode())
            return json.loads(answer)
        except (TimeoutError, ValueError):
            raise NotMeasured(failed) from None


async def end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def listening(
    process: asyncio.subprocess.Process, port: int, log: Path, *, seconds: float = START_SECONDS
) -> None:
    """Waits until the port accepts connections.

    Raises:
        NotMeasured: the process ended, or it took too long; with the end of its log.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
    tail = (await asyncio.to_thread(log.read_text, encoding="utf-8", errors="replace"))[-LOG_TAIL:]
    raise NotMeasured(f"A process did not start:\n{tail}")


def say(line: str) -> None:
    """One line of progress on stderr, at once."""
    print(line, file=sys.stderr, flush=True)
