"""RQ's worker as this pipeline needs it: it outlives its store, stops when told, and runs our tasks only."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.job import Job

from workers.runtime import ExitAtOnce, Runtime
from workers.task import Task

WORKER_TTL_S = 60
DEQUEUE_TIMEOUT_S = 1  # a blocking read; one on a connection that is dead is noticed a little later
RECONNECT_S = 0.5  # between two attempts to reach a store that is away
HEARTBEAT_S = 15.0  # each is a write that the store's disk has to take
LOG_EVERY_S = 60.0  # between two lines of RQ's about a store that is away
EXIT_WITHIN_S = 42.0  # of being told to stop; the supervisor insists after 40 s
EXIT_UNFINISHED = 75

log = structlog.get_logger()


class Worker(SimpleWorker):
    """RQ's worker that runs tasks in its own process, and tells the runtime when it is asked to stop.

    RQ waits up to a minute for a store that is away, and ends where it was away in the middle of its own
    bookkeeping. Here it tries twice a second and goes on: what it was working on comes due again.
    """

    runtime: Runtime
    exit_pipe: int  # a file descriptor, see `start_exit_deadline`
    death_penalty_class = ExitAtOnce
    job_class = Task
    exponential_backoff_factor = 1.0
    max_connection_wait_time = RECONNECT_S
    _beat_at = 0.0
    _primary: tuple[str, int] | None = None

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of a blocking read."""
        return DEQUEUE_TIMEOUT_S

    @property
    def connection_timeout(self) -> int:
        """Less than our connection has, so that RQ leaves that as it is."""
        return DEQUEUE_TIMEOUT_S

    def subscribe(self) -> None:
        """RQ listens for commands to its workers, on a connection of its own; nobody here sends any."""

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        """The first SIGTERM: finish what is in hand, start nothing new, and be gone in time.

        Here is only what a signal may do. Several may come at once, the next in the middle of this one, which then
        has whatever lock it took: a flag with a lock, or a thread begun here, would wait for itself.
        """
        self.runtime.stopping = True
        os.write(self.exit_pipe, b"!")
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # untyped in RQ

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one task; what is none of ours fails before anything of it is imported, and raises an alarm."""
        primary = getattr(self.connection.connection_pool, "master_address", None)  # where sentinels name it
        if primary != self._primary:
            self._primary = primary
            self.runtime.renew_connections()
        if isinstance(job, Task) and not job.is_ours:
            self.runtime.refuse_foreign_task(queue.name)
        with self._store_may_be_away():
            super().execute_job(job, queue)
        self.executions.clear()

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Now and then: RQ would write three times a second."""
        if pipeline is None and time.monotonic() < self._beat_at:
            return
        with self._store_may_be_away():
            super().heartbeat(timeout, pipeline)
            self._beat_at = time.monotonic() + HEARTBEAT_S

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """What it does, for `rq info`."""
        with self._store_may_be_away():
            super().set_state(state, pipeline)

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001  RQ's signature
        """`rq suspend`."""
        with self._store_may_be_away():
            super().check_for_suspension(burst)

    def run_maintenance_tasks(self) -> None:
        """RQ's own housekeeping; with the store away, later."""
        with self._store_may_be_away():
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # untyped in RQ

    def set_shutdown_requested_date(self) -> None:
        """RQ's note of the signal; while the store is away, it must not break the step in hand."""
        with suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]  # untyped in RQ

    def teardown(self) -> None:
        """Its goodbye; a store that is away forgets it by itself."""
        with self._store_may_be_away():
            super().teardown()  # type: ignore[no-untyped-call]  # untyped in RQ

    @contextmanager
    def _store_may_be_away(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            self.log.warning("Worker %s: the store is away: %s", self.name, type(error).__name__)


class StoreAwayFilter(logging.Filter):
    """Lets one line a minute through of those that say that the store is away."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a line that has just been said."""
        if "could not connect" not in str(record.msg) and "store is away" not in str(record.msg):
            return True
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LOG_EVERY_S
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def start_exit_deadline() -> int:
    """A file descriptor: once a byte is written to it, the process ends in `EXIT_WITHIN_S`, whatever it waits for.

    RQ waits for a store that is away without looking at the wish to stop; a supervisor that lives would insist.
    """
    reader, writer = os.pipe()

    def wait() -> None:
        os.read(reader, 1)
        time.sleep(EXIT_WITHIN_S)  # noqa: TID251  a thread of its own, which has nothing else to do
        os._exit(EXIT_UNFINISHED)

    threading.Thread(target=wait, daemon=True, name="exit-deadline").start()
    return writer
