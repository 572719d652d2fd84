"""`filmgate up` as a person starts it, its output, and the processes that it leaves."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import COMMAND, Process, children, clean_environment, free_port
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

READY_SECONDS = 100.0
LAST_LINE = " logs --follow"


@dataclass(frozen=True, slots=True)
class Printed:
    """The output of `up` when it is ready."""

    address: str
    key: str
    dashboard: str
    sign_in: str
    curl: str
    generate: str

    @classmethod
    def read(cls, text: str) -> "Printed":
        """These lines of its output."""

        def after(label: str) -> str:
            found = re.search(rf"^  {label} +(\S+)$", text, re.MULTILINE)
            assert found is not None, f"no {label} in: {text}"
            return found[1]

        curl = re.search(r"^  (curl .*)$", text, re.MULTILINE)
        assert curl is not None, text
        sign_in = re.search(r"^  sign in +(\S+)", text, re.MULTILINE)
        link = sign_in[1] if sign_in is not None else ""  # an older version prints none
        generate = re.search(r"^  (FILMGATE_DATA_DIR=.* generate .*)$", text, re.MULTILINE)
        assert generate is not None, text
        return cls(after("address"), after("key"), after("dashboard"), link, curl[1], generate[1])


class Up(Process):
    """One `filmgate up` on free ports, with its own data directory.

    Everything that it starts has a tag in its environment, so that `left` finds it when its parent is gone.
    `settings` adds variables; `checkout` has the program, perhaps another version's with its `.venv`.
    """

    def __init__(self, data_dir: Path, *, checkout: Path = ROOT, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._tag = uuid.uuid4().hex
        self._output = data_dir.with_name(f"{data_dir.name}.output")
        python = sys.executable if checkout == ROOT else str(checkout / ".venv/bin/python")
        environment = clean_environment(
            FILMGATE_DATA_DIR=str(data_dir),
            FILMGATE_PORT=str(self.port),
            FILMGATE_TEST_TAG=self._tag,
            **settings,
        )
        super().__init__([python, *COMMAND[1:], "up"], environment, log=self._output, cwd=checkout)

    def start(self) -> Self:
        """Start it; may be called again when it has ended. The ports and the data stay the same."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._output.write_bytes(b"")
        return super().start()

    @property
    def output(self) -> str:
        """Its output since it was started."""
        return self._output.read_text("utf-8")

    async def ready(self) -> Printed:
        """Its output once everything is ready."""

        async def printed() -> bool:
            assert self.running, f"it ended instead: {self.output}"
            return LAST_LINE in self.output

        await wait_until(printed, "filmgate up is ready", timeout=READY_SECONDS, interval=0.1)
        return Printed.read(self.output)

    def press_ctrl_c(self) -> None:
        """SIGINT to the whole foreground group, as a terminal sends it."""
        os.killpg(self.pid, signal.SIGINT)

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
        """Every living process that this gateway started, and its own, whatever their parent is now."""
        tag = f"FILMGATE_TEST_TAG={self._tag}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and tag in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found

    async def none_left(self, *, timeout: float) -> None:
        """Wait until none of its processes is left, at most `timeout` seconds."""

        async def nothing() -> bool:
            return not self.left()

        try:
            await wait_until(nothing, "no process is left", timeout=timeout, interval=0.05)
        except AssertionError:
            raise AssertionError(f"still alive after {timeout} s: {self.left()}") from None

    async def clean_up(self) -> None:
        """Kill what is left, after a test that failed."""
        if self.running:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                await self.ended()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            await self.ended()
