"""The supervisor: forks the worker processes of a host, one RQ queue each, and their keeper, and restarts the dead.

It has loaded the whole program and forks from there: its children share that memory, and start at once. So it opens
no connection and starts no thread and no event loop: a child would get a copy. What needs the store is done by the
keeper. RQ's worker pool is not used: it gives each worker a scheduler, and the scheduler child of a killed worker
takes the next task and loses it (measured on RQ 3.0.0).
"""

import gc
import mmap
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from app.children import Restarts, SignalWatch, fork
from app.metrics.cells import SharedCells
from app.metrics.table import STARTS

GRACE_S = 27.0  # from SIGTERM until what still runs is killed: Kubernetes kills all after 30 s
FIRST_S = 8.0  # for those that buy; then the deliveries are told too
CHECK, KEEPER = "check", "keeper"
# Lanes and work together, or a worker that waits would continue buying.
STOP_ORDER = ((KEEPER, "lanes", "work"), ("deliveries", "storage"))

log = structlog.get_logger()


class WorkerPids:
    """The process ids of a host's workers, in memory that the supervisor shares with the keeper.

    `queues` has the queue of each of them. A pipe would fill up while a keeper is stopped.
    """

    def __init__(self, queues: Sequence[str]) -> None:
        self.queues = queues
        self._pids = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("i")

    def note(self, number: int, pid: int | None) -> None:
        """The worker with this number has this process id now."""
        self._pids[number] = pid or 0

    def running(self) -> dict[int, str]:
        """The running workers: process id to queue."""
        pids = self._pids[: len(self.queues)].tolist()
        return {pid: queue for pid, queue in zip(pids, self.queues, strict=True) if pid}


@dataclass
class ForkedProcess:
    """One child, and its restarts."""

    role: str
    pid: int | None = None  # until it is reaped: then the number may belong to another process
    restarts: Restarts = field(default_factory=Restarts)

    def send(self, number: signal.Signals) -> None:
        """A signal, if it runs."""
        if self.pid is not None:
            os.kill(self.pid, number)


class Supervisor:
    """Keeps one process for each of `queues` and the keeper alive.

    `programs` are by role what a child runs: `check`, `keeper` and the queues; each returns an exit code. A child
    counts in its own part of `cells`, bound before the fork: it goes on where the one before it ended.
    """

    def __init__(
        self,
        programs: Mapping[str, Callable[[], int]],
        *,
        queues: Sequence[str],
        pids: WorkerPids,
        cells: SharedCells,
    ) -> None:
        self._programs = programs
        self._cells = cells
        self._pids = pids
        self._workers = [ForkedProcess(queue) for queue in queues]
        self._children = [ForkedProcess(KEEPER), *self._workers]
        self._signals = SignalWatch()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit code.

        1. let a child wait for the store and check it; if it refuses, end with its code
        2. start missing children, with a growing pause after crashes in a row
        3. wait for a signal or the death of a child
        4. on SIGTERM: stop keeper, lanes and work, so that no submission begins, then deliveries, which send
           what has just ended
        """
        gc.collect()
        gc.freeze()  # a collection in a child would write to the pages that it shares
        with self._signals:
            refused = self._check()
            while not (refused or self._signals.stopping):
                self._start_missing()
                self._signals.wait(self._pause_s())
                self._reap()
            told = time.monotonic()
            for roles in STOP_ORDER:
                self._stop([child for child in self._children if child.role in roles], until=told + FIRST_S)
            self._end_all(until=told + GRACE_S)
        return 0 if self._signals.stopping else refused

    def _check(self) -> int:
        """The exit code of the check, which waits for the store without a limit; a signal ends it."""
        check = ForkedProcess(CHECK)
        self._start(check)
        while True:
            self._signals.wait()
            if self._signals.stopping:
                check.send(signal.SIGTERM)
            ended, status = os.waitpid(check.pid or -1, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)

    def _start(self, child: ForkedProcess) -> None:
        child.restarts.started()
        child.pid = fork(self._programs[child.role], name=child.role)

    def _start_missing(self) -> None:
        for part, child in enumerate(self._children):
            if child.pid is None and child.restarts.due:
                self._cells.use(part)
                STARTS.add(child.role)
                self._start(child)
        self._note_pids()

    def _note_pids(self) -> None:
        for number, worker in enumerate(self._workers):
            self._pids.note(number, worker.pid)

    def _pause_s(self) -> float | None:
        """Seconds until the next start; None when every child runs."""
        return min((child.restarts.pause_s for child in self._children if child.pid is None), default=None)

    def _reap(self) -> None:
        """Note which children have ended."""
        for child in self._children:
            if child.pid is None:
                continue
            ended, status = os.waitpid(child.pid, os.WNOHANG)
            if not ended:
                continue
            child.pid = None
            lived = child.restarts.died()
            if not self._signals.stopping:
                code = os.waitstatus_to_exitcode(status)
                log.warning("worker.died", queue=child.role, exit=code, lived_s=round(lived, 1))
        self._note_pids()

    def _stop(self, group: Sequence[ForkedProcess], *, until: float) -> None:
        """Let these finish their current step, and wait for them until then."""
        for child in group:
            child.send(signal.SIGTERM)
        self._wait_for(group, until)

    def _end_all(self, *, until: float) -> None:
        """Wait for all children, and kill those that still run when the time is over."""
        self._wait_for(self._children, until)
        for child in self._children:
            if child.pid is not None:
                log.warning("worker.killed", queue=child.role, pid=child.pid)
                child.send(signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.pid = None

    def _wait_for(self, group: Sequence[ForkedProcess], until: float) -> None:
        while any(child.pid for child in group) and (left := until - time.monotonic()) > 0:
            self._signals.wait(left)
            self._reap()
