"""Our programs as processes, with their own environment and ports."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self

from app.children import die_with_parent
from tests.support.repo import ROOT

COMMAND = (sys.executable, "-m", "app.cli")
STOP_SECONDS = 90.0
PORTS = range(20_000, 32_000)


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any gateway settings, plus these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FILMGATE_", "FAL_"))}
    return {**kept, **settings}


async def run_command(
    *arguments: str, environment: Mapping[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run `filmgate …` to its end, without a terminal."""
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Piped(NamedTuple):
    """A running program, and its pipes."""

    process: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


class Process:
    """One program in its own session, which ends with this process; it can be restarted after its end.

    Its output is appended to `log`, or goes to this process's output. Call `start` from the main thread: the
    kernel kills the program together with the thread that started it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, log: Path | None = None, cwd: Path = ROOT
    ) -> None:
        self.environment = dict(environment)
        self.prefix: tuple[str, ...] = ()  # words before the command, from the next start on
        self._command, self._cwd, self._log = command, cwd, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; it is ready a moment later."""
        with contextlib.nullcontext() if self._log is None else self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  our own programs
                [*self.prefix, *self._command],
                cwd=self._cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  two system calls
            )
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status once it has ended; None before."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """True from `start` until it ends for any reason."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, as a deployment does; the exit status."""
        return self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """A signal only to this process, as a service manager sends it."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, STOP_SECONDS)

    def _end(self, number: signal.Signals) -> int:
        process = self._process  # another one may be started as soon as it has ended
        assert process is not None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def piped(*command: str) -> AsyncIterator[Piped]:
    """A program of ours with pipes for input, output and errors; it is killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield Piped(process, process.stdin, process.stdout, process.stderr)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def children(parent: int) -> list[tuple[int, str]]:
    """Process ids of a process's children, and their command lines and names on Linux, separated by NUL."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(
                    (int(entry.name), (entry / "cmdline").read_text() + (entry / "comm").read_text().rstrip("\n"))
                )
    return found


def _own_ports() -> list[int]:
    """The even ports of this test process, shuffled; below the range of outgoing connections."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(PORTS.start + 2 * number, PORTS.stop, 2 * count)
    return random.sample(ports, len(ports))


_unused = _own_ports()


def free_port() -> int:
    """A free port that is returned only once; it and the next one stay free until used, and after a `kill`."""
    while True:
        port = _unused.pop()
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port
