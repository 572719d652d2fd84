"""RQ's worker, which survives an outage of the store, stops on SIGTERM, and runs only our tasks."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.utils import now
from rq.worker import WorkerStatus

from app.store.connection import OUTAGE
from workers.runtime import ExitAtOnce, Runtime
from workers.task import Task

WORKER_TTL_S = 60
DEQUEUE_TIMEOUT_S = 1  # of a blocking read
RECONNECT_S = 0.5  # between two attempts to connect
HEARTBEAT_S = 15.0  # each is a write to the store's disk
SUSPENSION_S = 1.0  # between two looks for `rq suspend`
EXIT_WITHIN_S = 28.0  # after SIGTERM; the supervisor kills after 27 s
EXIT_UNFINISHED = 75

log = structlog.get_logger()


class Worker(SimpleWorker):
    """RQ's worker that runs tasks in its own process, and sets the runtime's stop flag.

    RQ waits up to a minute for a store that is away, and exits when that happens during its bookkeeping. This one
    tries twice a second and continues; the interrupted jobs become due again.
    """

    runtime: Runtime
    exit_pipe: int  # a file descriptor, see `start_exit_deadline`
    death_penalty_class = ExitAtOnce
    job_class = Task
    exponential_backoff_factor = 1.0
    max_connection_wait_time = RECONNECT_S
    _beat_at = 0.0
    _suspension_read_at = 0.0
    _state_written: str | None = None
    _primary: tuple[str, int] | None = None

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of a blocking read."""
        return DEQUEUE_TIMEOUT_S

    @property
    def connection_timeout(self) -> int:
        """Shorter than that of our connection, so that RQ leaves it unchanged."""
        return DEQUEUE_TIMEOUT_S

    def subscribe(self) -> None:
        """Not used: RQ would listen for commands on another connection."""

    def request_stop(self, signum: int, frame: FrameType | None) -> Any:
        """The first SIGTERM: finish the current step, start nothing new, and exit in time.

        Takes no lock and starts no thread: another signal may interrupt this handler, and would wait for it.
        """
        self.runtime.stop()
        os.write(self.exit_pipe, b"!")
        return super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # untyped in RQ

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one task; another program's task fails before anything is imported, and raises an alarm."""
        primary = getattr(self.connection.connection_pool, "master_address", None)  # with Sentinel
        if primary != self._primary:
            self._primary = primary
            self.runtime.renew_connections()
        if isinstance(job, Task) and not job.is_ours:
            self.runtime.refuse_foreign_task(queue.name)
        with self._store_may_be_away():
            self._execute(job, queue)
        self.executions.clear()

    def _execute(self, job: Job, queue: Queue) -> None:
        """Run one task, with one write before it and one after it.

        RQ makes seven, each with a write to the store's disk. It looks for a result, a repetition, a retry, other
        tasks that depend on this one, and a limit on its rate; ours have none. A failed task takes RQ's way.
        """
        seconds = self.get_heartbeat_ttl(job)
        with self.connection.pipeline() as pipeline:
            execution = Execution.create(job, seconds, pipeline, worker_name=self.name)
            self.executions[execution.id] = execution
            self.set_state(WorkerStatus.BUSY, pipeline)
            self.heartbeat(seconds, pipeline)
            job.prepare_for_execution(self.name, pipeline)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.execute()
        try:
            with self.death_penalty_class(int(job.timeout or seconds)):  # type: ignore[no-untyped-call]  # untyped in RQ
                job.perform()
        except BaseException:  # noqa: BLE001  as RQ does: whatever it was, the worker goes on
            self._finalize_failure(job, queue, execution, sys.exc_info())
            return
        with self.connection.pipeline() as pipeline:
            self.increment_successful_job_count(pipeline)
            self.increment_total_working_time(now() - execution.created_at, pipeline)
            self.cleanup_execution(job, pipeline, execution)
            pipeline.delete(job.key, job.execution_registry.key)
            self.set_state(WorkerStatus.IDLE, pipeline)
            pipeline.execute()
        self._state_written = WorkerStatus.IDLE

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Every 15 s: RQ would write three times a second. A state that could not be written is written now.

        RQ calls it around each task and each blocking read. A worker that was told to stop ends here if it still
        runs: RQ's exception is lost when the signal comes in the middle of a destructor.
        """
        if pipeline is None:
            if self.runtime.stopping and self.get_state() != WorkerStatus.BUSY:
                raise StopRequested
            OUTAGE.worked()
            self.set_state(self.get_state())
        if pipeline is None and time.monotonic() < self._beat_at:
            return
        with self._store_may_be_away():
            super().heartbeat(timeout, pipeline)
            self._beat_at = time.monotonic() + HEARTBEAT_S

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """The worker's state, for `rq info`; RQ would write `idle` again before each task."""
        if pipeline is None and state == self._state_written:
            return
        with self._store_may_be_away():
            super().set_state(state, pipeline)
            self._state_written = state if pipeline is None else None  # a transaction may fail

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001  RQ's signature
        """`rq suspend`, looked for once a second: RQ would look before each task."""
        if time.monotonic() < self._suspension_read_at + SUSPENSION_S:
            return
        with self._store_may_be_away():
            super().check_for_suspension(burst)
            self._suspension_read_at = time.monotonic()

    def run_maintenance_tasks(self) -> None:
        """RQ's housekeeping; skipped while the store is away."""
        with self._store_may_be_away():
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # untyped in RQ

    def set_shutdown_requested_date(self) -> None:
        """RQ's record of the signal; a missing store must not interrupt the current step."""
        with suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]  # untyped in RQ

    def teardown(self) -> None:
        """Unregister; without a store the registration expires."""
        with self._store_may_be_away():
            super().teardown()  # type: ignore[no-untyped-call]  # untyped in RQ

    @contextmanager
    def _store_may_be_away(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            OUTAGE.failed("no_answer", error=type(error).__name__)


class StoreAwayFilter(logging.Filter):
    """Counts RQ's lines about a store that is away, two a second, instead of passing them on."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for such a line."""
        if "could not connect" not in str(record.msg):
            return True
        OUTAGE.failed("no_answer", error="ConnectionError")
        return False


def pass_over_lost_stops() -> None:
    """Let a StopRequested that is lost in a destructor be no failure: `Worker.heartbeat` makes up for it."""
    log_unraisable = sys.unraisablehook

    def hook(failure: "sys.UnraisableHookArgs") -> None:
        if not isinstance(failure.exc_value, StopRequested):
            log_unraisable(failure)

    sys.unraisablehook = hook


def start_exit_deadline() -> int:
    """A file descriptor: a byte written to it ends the process after `EXIT_WITHIN_S`.

    RQ does not check for a stop while it waits for a store that is away.
    """
    reader, writer = os.pipe()

    def wait() -> None:
        os.read(reader, 1)
        time.sleep(EXIT_WITHIN_S)  # noqa: TID251  a separate thread
        os._exit(EXIT_UNFINISHED)

    threading.Thread(target=wait, daemon=True, name="exit-deadline").start()
    return writer
