"""`filmgate worker` as processes."""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from redis import Redis

from tests.support.processes import Process, children, clean_environment

WORKER_COLONS = 2  # rq:worker:{name}


class Workers(Process):
    """One supervisor with its RQ workers; `pids(queue)` are its children's."""

    def __init__(self, settings: Mapping[str, str], *, log: Path | None = None) -> None:
        super().__init__([sys.executable, "-m", "workers"], clean_environment(**settings), log=log)

    def pids(self, queue: str) -> list[int]:
        """Process ids of the children that work on this queue."""
        return [pid for pid, command in children(self.pid) if queue in command.split("\0")]

    def busy(self, queue: str) -> list[int]:
        """Process ids of the children that are running a task of this queue, as RQ has them."""
        url = self.environment["FILMGATE_REDIS_URL"]
        with Redis.from_url(url, decode_responses=True, encoding_errors="surrogateescape") as redis:
            names = [str(name) for name in redis.scan_iter(match=f"rq:worker:{queue}-*", count=1000)]
            workers = [name for name in names if name.count(":") == WORKER_COLONS]  # without their executions
            working = {int(name.split("-")[1]) for name in workers if redis.hget(name, "state") == "busy"}
        return [pid for pid in self.pids(queue) if pid in working]

    def kill_busy(self, queue: str) -> int | None:
        """SIGKILL one child that is running a task of this queue; its process id, None when none is."""
        for pid in self.busy(queue):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    def kill_children(self, queue: str) -> int:
        """SIGKILL every child on this queue; how many there were."""
        pids = self.pids(queue)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)
