"""Starts `filmgate up` as a person at a terminal does, reads what it prints, and finds what it leaves behind."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from app.children import DieWithParent
from tests.support.redis_server import free_port
from tests.support.waiting import wait_until
from tests.support.workers import children

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "app.cli")
READY_SECONDS = 100.0
END_SECONDS = 90.0
LAST_LINE = "filmgate generate"


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of the gateway, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FILMGATE_", "FAL_"))}
    return {**kept, **settings}


async def run_command(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `filmgate …` to its end."""
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def free_ports() -> int:
    """A port that is free together with the next one."""
    return free_port()


@dataclass(frozen=True, slots=True)
class Printed:
    """What `up` says when it is up."""

    address: str
    key: str
    dashboard: str
    curl: str

    @classmethod
    def read(cls, text: str) -> "Printed":
        """The lines one needs, out of everything it said."""

        def after(label: str) -> str:
            found = re.search(rf"^  {label} +(\S+)$", text, re.MULTILINE)
            assert found is not None, f"no {label} in: {text}"
            return found[1]

        curl = re.search(r"^  (curl .*)$", text, re.MULTILINE)
        assert curl is not None, text
        return cls(after("address"), after("key"), after("dashboard"), curl[1])


class Up:
    """One `filmgate up`: a session of its own, on free ports, with its own data directory.

    Everything that it starts carries a mark in its environment, so that `left` finds it again when its parent
    is gone. `environment` is more settings; `checkout` is where its program is, another version's with its `.venv`.
    """

    def __init__(self, data_dir: Path, *, checkout: Path = ROOT, **environment: str) -> None:
        self.data_dir = data_dir
        self._checkout = checkout
        self._python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
        self.port = free_ports()
        self._mark = uuid.uuid4().hex
        self.environment = clean_environment(
            FILMGATE_DATA_DIR=str(data_dir),
            FILMGATE_PORT=str(self.port),
            FILMGATE_TEST_MARK=self._mark,
            **environment,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self) -> Self:
        """Start it; may be called again when it has ended. The ports and the data stay the same."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._output = self._path.open("wb")
        self._process = subprocess.Popen(  # noqa: S603  our own program
            [self._python, *COMMAND[1:], "up"],
            cwd=self._checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
            preexec_fn=DieWithParent(),  # noqa: PLW1509  two system calls; nothing outlives a killed test run
        )
        return self

    @property
    def _path(self) -> Path:
        return self.data_dir.with_name(f"{self.data_dir.name}.said")

    @property
    def pid(self) -> int:
        """The process id of `filmgate up` itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """Everything it has printed since it was started."""
        return self._path.read_text("utf-8")

    @property
    def running(self) -> bool:
        """True while it runs."""
        return self._process is not None and self._process.poll() is None

    async def ready(self) -> Printed:
        """What it prints once everything is up."""

        async def printed() -> bool:
            assert self.running, f"it ended instead: {self.said}"
            return LAST_LINE in self.said

        await wait_until(printed, "filmgate up is ready", timeout=READY_SECONDS, interval=0.1)
        return Printed.read(self.said)

    def press_ctrl_c(self) -> None:
        """SIGINT to the whole foreground group, as a terminal sends it."""
        os.killpg(self.pid, signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """A signal to the parent alone, as a service manager sends it."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None
        code = await asyncio.to_thread(self._process.wait, END_SECONDS)
        if self._output is not None:
            self._output.close()
        return code

    def child(self, *words: str) -> int | None:
        """The process below it whose command has all these words; None when there is none just now."""
        return next((pid for pid, command in self.descendants().items() if set(words) <= set(command)), None)

    def descendants(self) -> dict[int, list[str]]:
        """Every process below it, with the words of its command."""
        found: dict[int, list[str]] = {}
        parents = [self.pid]
        while parents:
            for pid, command in children(parents.pop()):
                found[pid] = command.split("\0")
                parents.append(pid)
        return found

    def left(self) -> dict[int, str]:
        """Every living process that this gateway has started, the parent too, whoever owns it now."""
        mark = f"FILMGATE_TEST_MARK={self._mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found

    async def none_left(self, *, timeout: float) -> None:
        """Nothing of it lives any more, within `timeout` seconds."""

        async def nothing() -> bool:
            return not self.left()

        try:
            await wait_until(nothing, "no process is left", timeout=timeout, interval=0.05)
        except AssertionError:
            raise AssertionError(f"still alive after {timeout} s: {self.left()}") from None

    async def clean_up(self) -> None:
        """End whatever still lives, for the end of a test that failed."""
        if self.running:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await self.ended()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            await self.ended()
