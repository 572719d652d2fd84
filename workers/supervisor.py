"""`filmgate worker`: starts the RQ worker processes, one queue each, and keeps every lane enqueued.

A child that dies is restarted; on SIGTERM or SIGINT the children stop, deliveries last, after their current step.
RQ's worker pool is not used: it gives each worker a scheduler, and the scheduler child of a killed worker takes the
next task and loses it (measured on RQ 3.0.0).
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from functools import partial

import structlog
from redis.exceptions import RedisError

from app.children import Restarts
from app.domain.errors import StoreUnavailable
from app.gateway import epoch_service, open_gateway
from app.settings import Settings, required_url
from app.starting import require_store
from app.store.connection import REQUEST_TIMEOUT, connect_rq
from app.store.lanes import ENQUEUED
from app.stores import Stores
from workers.epoch import EpochWatch
from workers.queues import QUEUES, QueueName, TaskQueue
from workers.runtime import worker_name

TICK_S = 0.25
HEARTBEAT_S = 3.0
GRACE_S = 40.0
MEMORY_LEVELS = (0.8, 0.9, 1.0)
HOUR_MS = 3_600_000

log = structlog.get_logger()


@dataclass
class WorkerProcess:
    """One worker process and its restarts."""

    queue: QueueName
    process: asyncio.subprocess.Process | None = None
    restarts: Restarts = field(default_factory=Restarts)


class Supervisor:
    """Keeps the worker processes and the lanes of one host alive."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self._settings = settings
        self._stores = stores
        has_admin_key = settings.fal_admin_key is not None
        recovery = partial(open_gateway, settings, process="epoch", warned=True) if has_admin_key else None
        self._epoch = EpochWatch(epoch_service(settings, stores), open_gateway=recovery)
        self._task_queue = TaskQueue(
            connect_rq(required_url(settings), timeout=REQUEST_TIMEOUT), lanes=settings.lanes
        )
        self._ready: set[str] = set()  # children that have reported
        counts: dict[QueueName, int] = {
            "lanes": settings.lanes + 1,  # a spare: after a kill the lane continues without waiting for a start
            "work": settings.workers,
            "deliveries": settings.deliverers,
        }
        self._children = [WorkerProcess(queue) for queue in QUEUES for _ in range(counts[queue])]
        self._stop = asyncio.Event()
        self._away_since: float | None = None
        self._concurrency_differs = False

    async def wait_for_store(self) -> None:
        """Wait until the store is ready. Raises SettingsError for one that cannot be used."""
        await require_store(self._settings, self._stores.redis, patience=None)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        1. compare the store with the witness, before anything is bought and every second
        2. start missing children, with a growing pause after crashes in a row
        3. enqueue each lane without a live slice
        4. write a heartbeat every few seconds
        5. on a signal: stop lanes and work, so that no submission begins, then deliveries
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        last_beat = 0.0
        while not self._stop.is_set():
            await self._epoch.tick()
            for child in self._children:
                await self._supervise(child)
            try:
                for lane in range(self._settings.lanes):
                    if await self._stores.lanes.mark_enqueued(lane):
                        await self._enqueue(lane)
                if time.monotonic() - last_beat > HEARTBEAT_S or self._away_since is not None:
                    await self._beat()
                    last_beat = time.monotonic()
                self._note_store(away=False)
            except (StoreUnavailable, RedisError):  # the second is from RQ's connection
                self._note_store(away=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)
        await self._stop_children()

    def _note_store(self, *, away: bool) -> None:
        """Log once when the store is lost, and once when it is back."""
        now = time.monotonic()
        if away and self._away_since is None:
            self._away_since = now
            log.warning("supervisor.store_away")
        elif not away and self._away_since is not None:
            log.warning("supervisor.store_back", away_s=round(now - self._away_since, 1))
            self._away_since = None

    async def _supervise(self, child: WorkerProcess) -> None:
        if child.process is not None:
            if child.process.returncode is None:
                return
            lived = child.restarts.died()
            log.warning("worker.died", queue=child.queue, exit=child.process.returncode, lived_s=round(lived, 1))
            child.process = None
        if not child.restarts.due:
            return
        child.restarts.started()
        child.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers",
            child.queue,
            str(os.getpid()),
            process_group=0,  # Ctrl-C reaches only the supervisor, which stops its children in order
        )

    async def _beat(self) -> None:
        """Renew the heartbeats of the children, which write the first one themselves when they are ready.

        A missing heartbeat of a ready child, after a restore or an outage, is written again.
        """
        await self._stores.heartbeats.beat(worker_name(os.getpid()), role="supervisor")
        await self._agree_on_concurrency()
        await self._check_memory()
        alive = {
            worker_name(child.process.pid): child.queue
            for child in self._children
            if child.process and child.process.returncode is None
        }
        reported = await self._stores.heartbeats.keep_beating(alive)
        self._ready = (self._ready | reported) & alive.keys()
        for name in self._ready - reported:
            await self._stores.heartbeats.beat(name, role=alive[name])

    async def _enqueue(self, lane: int) -> None:
        """Enqueue a slice; after a failure clear the lane's mark, so that the next try need not wait."""
        try:
            await self._task_queue.enqueue_lane(lane)
        except StoreUnavailable:
            await self._stores.lanes.leave(lane, ENQUEUED)
            raise

    async def _agree_on_concurrency(self) -> None:
        """Use the smallest concurrency of all hosts, and warn when ours differs."""
        own = self._settings.upstream_concurrency
        agreed = await self._stores.health.agree_concurrency(worker_name(os.getpid()), own)
        differs = agreed.number != own
        if differs and not self._concurrency_differs:
            log.warning(
                "concurrency.differs",
                own=own,
                all=agreed.number,
                host=agreed.host,
                remedy="give every host the same FILMGATE_UPSTREAM_CONCURRENCY",
            )
        self._concurrency_differs = differs

    async def _check_memory(self) -> None:
        """Raise an alarm when the store is nearly full, for each level once an hour."""
        share = await self._stores.health.fullness()
        level = max((level for level in MEMORY_LEVELS if share is not None and share >= level), default=None)
        if share is None or level is None:
            return
        sentence = f"The store uses {share:.0%} of the memory that it may use; when it is full, no job is accepted."
        once = f"store_memory:{level:.0%}"
        if await self._stores.alarms.raise_alarm("store_memory", sentence, once=once, quiet_ms=HOUR_MS):
            log.error("store.memory", share=round(share, 2), remedy="raise its maxmemory, or shorten retention")

    async def _stop_children(self) -> None:
        """Stop the children in the order of the pipeline; kill them when the time is over.

        Lanes and work stop together: a worker that waited for the lanes would continue buying.
        """
        end = time.monotonic() + GRACE_S
        for queues in (("lanes", "work"), ("deliveries",)):
            group = [child.process for child in self._children if child.queue in queues and child.process]
            for process in group:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            for process in group:
                try:
                    await asyncio.wait_for(process.wait(), max(0.1, end - time.monotonic()))
                except TimeoutError:
                    log.warning("worker.killed", queues=queues, pid=process.pid)
                    process.kill()
                    await process.wait()
        await self._epoch.close()
