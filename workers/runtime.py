"""The state of a worker process between tasks: one gateway, one event loop, one stop flag.

RQ would make a new loop, and so new connections, for every task. RQ's own timeout would raise inside the kept loop,
and a running POST would continue in the next task; so the alarm ends the process; the supervisor restarts it.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import FrameType
from typing import Any, NoReturn

import structlog
from rq.timeouts import UnixSignalDeathPenalty

from app.domain.errors import StoreUnavailable
from app.domain.ids import ref_names
from app.domain.store_role import StoreRole
from app.gateway import Gateway, open_gateway
from app.machine import process_name
from app.metrics.table import STEP_FAULTS
from app.settings import Settings, required_url
from app.store.connection import REQUEST_TIMEOUT, connect_rq
from app.store.quarantine import Quarantined
from app.telemetry import about
from workers.billing import billing_task
from workers.poll_plans import PollPlans
from workers.quarantine import alarm_quarantined
from workers.queues import TaskQueue
from workers.reconcile import history_task

EXIT_ON_TIMEOUT = 70

log = structlog.get_logger()


class ExitAtOnce(UnixSignalDeathPenalty):
    """RQ's timeout of a task: it ends the process instead of raising an exception that a step could catch."""

    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG002  RQ's signature
        """The handler of SIGALRM."""
        log.error("task.timeout", remedy="the process exits; its jobs become due again")
        sys.stderr.flush()
        os._exit(EXIT_ON_TIMEOUT)


class Runtime:
    """One for each process."""

    def __init__(self, settings: Settings, *, queue: str) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._opening: AbstractAsyncContextManager[Gateway] = open_gateway(
            settings, process=f"worker-{queue}", role=StoreRole.WORKER, patience=None, warned=True
        )
        self.gateway = self._loop.run_until_complete(self._opening.__aenter__())
        self.poll_plans = PollPlans(self.gateway.stores.end_ages, first_s=settings.poll_interval)
        self.bill = billing_task(self.gateway)
        self.history = history_task(self.gateway)
        rq = connect_rq(required_url(settings), timeout=REQUEST_TIMEOUT)
        self.task_queue = TaskQueue(rq, self.gateway.stores.redis, lanes=settings.lanes)
        self.next_care = 0.0  # when the storage is looked after next, in monotonic seconds
        self.stopping = False  # read between steps

    def stop(self) -> None:
        """Begin no further step. For a signal handler: it takes no lock, and may come in the middle of anything."""
        if not self.stopping:
            self.stopping = True
            with suppress(RuntimeError):  # the loop is closed: nothing is on its way
                self._loop.call_soon_threadsafe(self.gateway.fal.hurry)

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        """Run one task's coroutine to its end."""
        with suppress(StoreUnavailable):  # its jobs become due again; the outage has its own line
            self._loop.run_until_complete(step)

    async def run_each(
        self,
        step: Callable[[Gateway, str], Awaitable[None]],
        refs: Sequence[str],
        *,
        at_once: int,
        alone: str | None = None,
    ) -> None:
        """Run a step on the refs of one task, a few at a time; a stopping process starts no further one.

        After a failure its ref becomes due again; the others continue. `alone` names a step with leases: refs that
        were leased when a worker crashed run last and one at a time, so that a second crash identifies the cause.
        """
        room = asyncio.Semaphore(at_once)
        suspects = await self.gateway.stores.quarantine.leased(alone, refs) if alone else set()

        async def one(ref: str) -> None:
            async with room:
                if not self.stopping:
                    await self.attempt(step, ref)

        await asyncio.gather(*(one(ref) for ref in refs if ref not in suspects))
        for ref in refs:
            if ref in suspects:
                await one(ref)

    async def attempt(self, step: Callable[[Gateway, str], Awaitable[None]], ref: str) -> None:
        """Run a step on one ref, a job's or a delivery's; failures are logged."""
        with about(**ref_names(ref)):
            try:
                await step(self.gateway, ref)
            except StoreUnavailable:
                pass  # it becomes due again; the outage has its own line
            except Quarantined as error:
                await alarm_quarantined(self.gateway, error)
            except Exception:
                STEP_FAULTS.add(getattr(step, "func", step).__name__)
                log.exception("step.failed")

    def renew_connections(self) -> None:
        """Drop connections to a former primary: each would cost a step a second."""
        self._loop.run_until_complete(self.gateway.stores.renew_connections())
        self.task_queue.renew_connections()

    def refuse_foreign_task(self, queue: str) -> None:
        """Alarm for a task that the gateway did not enqueue: another program writes to the store."""
        sentence = (
            f"The queue {queue} held a task that is none of the gateway's; somebody else writes to its store."
        )
        log.error("task.refused", queue=queue, remedy="find out who has access to the store (docs/store.md)")
        with suppress(StoreUnavailable):
            self._loop.run_until_complete(self.gateway.stores.alarms.raise_alarm("foreign_task", sentence))

    def report_ready(self, queue: str) -> None:
        """Write this process's first heartbeat; the supervisor renews it."""
        self._loop.run_until_complete(self.gateway.stores.heartbeats.beat(process_name(os.getpid()), role=queue))

    def close(self) -> None:
        """Close the gateway and the loop."""
        self._loop.run_until_complete(self._opening.__aexit__(None, None, None))
        self._loop.close()


_current: list[Runtime] = []


def install(runtime: Runtime) -> None:
    """Make this the process's runtime: RQ passes none to its task functions."""
    _current[:] = [runtime]


def current() -> Runtime:
    """The process's runtime."""
    return _current[0]
