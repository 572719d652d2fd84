"""`filmgate worker`: starts the RQ worker processes, one queue each, and keeps every lane enqueued.

A child that dies is started again; on SIGTERM or SIGINT the children are told to stop, deliveries last, and given
time to finish the step in hand. RQ's own worker pool is not used: it forces a scheduler on each worker, and a
killed worker's scheduler child swallows the next task (measured on RQ 3.0.0).
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
    """One worker process and its history."""

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
        self._ready: set[str] = set()  # children that have reported for work
        counts: dict[QueueName, int] = {
            "lanes": settings.lanes + 1,  # a spare: a killed lane goes on when its lease ends, not a start later
            "work": settings.workers,
            "deliveries": settings.deliverers,
        }
        self._children = [WorkerProcess(queue) for queue in QUEUES for _ in range(counts[queue])]
        self._stop = asyncio.Event()
        self._away_since: float | None = None
        self._concurrency_differs = False

    async def wait_for_store(self) -> None:
        """Return when the store can be worked with; SettingsError when it never could."""
        await require_store(self._settings, self._stores.redis, patience=None)

    async def run(self) -> None:
        """Work until told to stop.

        1. compare the store with what is remembered of it, before anything is bought and every second
        2. start children that are missing, with a growing pause after deaths in a row
        3. enqueue each lane that has no live slice
        4. every few seconds, write a heartbeat
        5. on a signal: stop lanes and work, so that no new submission begins, then deliveries
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
            except (StoreUnavailable, RedisError):  # the second is what RQ's own connection raises
                self._note_store(away=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)
        await self._stop_children()

    def _note_store(self, *, away: bool) -> None:
        """One line when the store goes, one when it is back."""
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
            process_group=0,  # Ctrl-C reaches the supervisor, which then stops its children in order
        )

    async def _beat(self) -> None:
        """Children write their own first beat, when they are ready to work; here it is only kept alive.

        One that was ready and that the store has forgotten, after a restore or an outage, is told of again.
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
        """Enqueue a slice; where that fails, the next to try need not wait until the lane counts as dark again."""
        try:
            await self._task_queue.enqueue_lane(lane)
        except StoreUnavailable:
            await self._stores.lanes.leave(lane, ENQUEUED)
            raise

    async def _agree_on_concurrency(self) -> None:
        """One number of jobs at fal for all hosts: the least that one of them was given."""
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
        """An alarm before the store is full, and another when it nearly is; each once an hour."""
        share = await self._stores.health.fullness()
        level = max((level for level in MEMORY_LEVELS if share is not None and share >= level), default=None)
        if share is None or level is None:
            return
        sentence = f"The store uses {share:.0%} of the memory that it may use; when it is full, no job is accepted."
        once = f"store_memory:{level:.0%}"
        if await self._stores.alarms.raise_alarm("store_memory", sentence, once=once, quiet_ms=HOUR_MS):
            log.error("store.memory", share=round(share, 2), remedy="raise its maxmemory, or shorten retention")

    async def _stop_children(self) -> None:
        """Stop in the order of the pipeline, with the grace that is left; then insist.

        Lanes and work are told in the same moment: a worker that waited for the lanes would go on buying.
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
