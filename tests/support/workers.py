"""Starts `filmgate worker` as real processes, and ends them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60


class Workers:
    """One supervisor with its RQ workers; `pids(queue)` are its children's."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the supervisor; its children report to the store when they are ready."""
        self._process = subprocess.Popen([sys.executable, "-m", "workers"], cwd=ROOT, env=self._environment)
        return self

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def pids(self, queue: str) -> list[int]:
        """Process ids of the children that work on this queue."""
        return [pid for pid, command in children(self.pid) if queue in command.split("\0")]

    def kill(self, queue: str) -> int:
        """SIGKILL every child on this queue; how many there were."""
        pids = self.pids(queue)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def stop(self) -> int:
        """SIGTERM, as a deployment does; the exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()


def children(parent: int) -> list[tuple[int, str]]:
    """Process ids and command lines (words separated by NUL) of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append((int(entry.name), (entry / "cmdline").read_text()))
    return found
