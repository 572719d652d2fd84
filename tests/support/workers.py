"""Starts `filmgate worker` as real processes, and ends them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from redis import Redis

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60
WORKER_COLONS = 2  # rq:worker:{name}


class Workers:
    """One supervisor with its RQ workers; `pids(queue)` are its children's. What they print goes to `log`."""

    def __init__(self, environment: Mapping[str, str], *, log: Path | None = None) -> None:
        self._log = log
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the supervisor; its children report to the store when they are ready."""
        with open_log(self._log) as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers"], cwd=ROOT, env=self._environment, stderr=said
            )
        return self

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def pids(self, queue: str) -> list[int]:
        """Process ids of the children that work on this queue."""
        return [pid for pid, command in children(self.pid) if queue in command.split("\0")]

    def busy(self, queue: str) -> list[int]:
        """Process ids of the children that have a task of this queue in hand, as RQ knows them."""
        with Redis.from_url(
            self._environment["FILMGATE_REDIS_URL"], decode_responses=True, encoding_errors="surrogateescape"
        ) as redis:
            names = [str(name) for name in redis.scan_iter(match=f"rq:worker:{queue}-*", count=1000)]
            workers = [name for name in names if name.count(":") == WORKER_COLONS]  # and not their executions
            working = {int(name.split("-")[1]) for name in workers if redis.hget(name, "state") == "busy"}
        return [pid for pid in self.pids(queue) if pid in working]

    def kill_busy(self, queue: str) -> int | None:
        """SIGKILL the child that has a task of this queue in hand; its process id, None when none has."""
        for pid in self.busy(queue):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

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


def open_log(log: Path | None) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    """Where a process's stderr goes: the file's end, or this process's own."""
    return contextlib.nullcontext() if log is None else log.open("ab")


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
