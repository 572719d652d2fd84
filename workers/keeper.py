"""The keeper: one process of each host that does for all its workers what needs the store, and no job."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from functools import partial

import structlog
from redis.exceptions import RedisError

from app.alerting import alarm_watch, alerts_service, host_report
from app.domain.errors import StoreUnavailable
from app.gateway import egress_policy, epoch_service, open_gateway
from app.machine import process_name
from app.services.migration import Migrator
from app.settings import Settings, required_url
from app.store.connection import OUTAGE, REQUEST_TIMEOUT, connect_rq
from app.store.lanes import ENQUEUED
from app.stores import Stores
from app.tasks import cancel_and_wait, every_second
from workers.backup_schedule import BackupSchedule
from workers.epoch import EpochWatch
from workers.queues import TaskQueue
from workers.ready_file import ReadyFile
from workers.supervisor import WorkerPids

TICK_S = 1.0  # at most, between two checks of the lanes
AWAY_TICK_S = 0.25  # while the store is away, and a moment longer: lanes are released then
SOON_AFTER_S = 5.0
LATE_S = 0.01  # after the end of a lease
HEARTBEAT_S = 3.0
MIGRATE_S = 0.05  # of each second: a hundred records or more, so a million take some hours; nothing waits

log = structlog.get_logger()


class Keeper:
    """Keeps the lanes enqueued and the heartbeats written, and watches the store."""

    def __init__(self, settings: Settings, stores: Stores, pids: WorkerPids) -> None:
        self._settings = settings
        self._stores = stores
        self._pids = pids
        self._supervisor = os.getppid()
        self._host = process_name(self._supervisor)
        has_admin_key = settings.fal_admin_key is not None
        recovery = partial(open_gateway, settings, process="epoch", warned=True) if has_admin_key else None
        self._epoch = EpochWatch(epoch_service(settings, stores), open_gateway=recovery)
        rq = connect_rq(required_url(settings), timeout=REQUEST_TIMEOUT)
        self._task_queue = TaskQueue(rq, stores.redis, lanes=settings.lanes)
        self._alarm_watch = alarm_watch(settings, stores)
        self._report = host_report(settings, stores, "worker")
        self._alerts = alerts_service(settings, stores, egress_policy(settings))
        self._migrator = Migrator(stores.data_format, stores.leases)
        self._migrated = False
        self._backups = BackupSchedule(settings, stores)
        self._ready: set[str] = set()  # workers that have reported
        self._known: dict[str, str] | None = None  # the workers of the last beat, by name to role
        self._ready_file = ReadyFile(settings.data_dir)
        self._stop = asyncio.Event()
        self._away = False
        self._back_at = 0.0
        self._concurrency_differs = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        1. compare the store with the witness, before anything is bought and every second
        2. enqueue each lane without a live slice
        3. write a heartbeat every few seconds, and the file for probes while every queue has a worker
        4. wait for a second, or until the first lease of a lane would end

        Beside it, in one process for all hosts: raise, resolve and send alarms, migrate the store, back it up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._ready_file.remove()  # of an earlier start
        last_beat = 0.0
        checks = (
            self._report.report,
            self._alarm_watch.check,
            self._alerts.send_due,
            self._migrate,
            self._backups.check,
        )
        aside = [asyncio.create_task(every_second(check)) for check in checks]
        while not self._stop.is_set():
            await self._epoch.tick()
            left_s = 0.0
            try:
                left_s = await self._keep_lanes()
                if time.monotonic() - last_beat > HEARTBEAT_S or self._away:
                    await self._beat()
                    last_beat = time.monotonic()
                self._note_store(away=False)
            except StoreUnavailable:
                self._note_store(away=True)
            except RedisError as error:  # none that passes: without a line nobody would learn why no lane runs
                OUTAGE.failed("refused", error=type(error).__name__, said=str(error))
                self._note_store(away=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._pause_s(left_s))
        self._ready_file.remove()
        await cancel_and_wait(*aside)
        if os.getppid() == self._supervisor:  # otherwise it was killed, which is a SIGTERM here: the host is missed
            await self._report.close()
        for closing in (self._backups.close, self._alarm_watch.close, self._alerts.close):
            await closing()
        await self._epoch.close()

    async def _keep_lanes(self) -> float:
        """Enqueue each lane without a live slice; seconds until the first of the others may be without one."""
        lefts = [TICK_S]
        for lane in range(self._settings.lanes):
            if await self._stores.lanes.mark_enqueued(lane):
                await self.enqueue(lane)
            else:
                lefts.append(await self._stores.lanes.left_s(lane))
        return min(lefts)

    def _pause_s(self, left_s: float) -> float:
        """Seconds until the next check."""
        soon_after = time.monotonic() - self._back_at < SOON_AFTER_S
        return AWAY_TICK_S if soon_after or self._away else left_s + LATE_S

    async def enqueue(self, lane: int) -> None:
        """Enqueue a slice; after a failure clear the lane's mark, so that the next try need not wait."""
        try:
            await self._task_queue.enqueue_lane(lane)
        except StoreUnavailable:
            await self._stores.lanes.leave(lane, ENQUEUED)
            raise

    def _note_store(self, *, away: bool) -> None:
        """Whether the store is away, for the pauses; the outage has its own two lines."""
        if away and not self._away:
            self._ready_file.remove()
        elif self._away and not away:
            self._back_at = time.monotonic()
        self._away = away

    async def _beat(self) -> None:
        """Renew the heartbeats of the workers, which write the first one themselves when they are ready.

        A missing heartbeat of a ready worker, after a restore or an outage, is written again.
        """
        await self._stores.heartbeats.beat(self._host, role="supervisor")
        await self._agree_on_concurrency()
        alive = {process_name(pid): queue for pid, queue in self._pids.running().items()}
        await self._forget_ended(alive)
        reported = await self._stores.heartbeats.keep_beating(alive)
        self._ready = (self._ready | reported) & alive.keys()
        for name in self._ready - reported:
            await self._stores.heartbeats.beat(name, role=alive[name])
        queues = [alive[name] for name in self._ready]
        if set(queues) == set(self._pids.queues):
            self._ready_file.write(queues)
        else:
            self._ready_file.remove()

    async def _forget_ended(self, alive: Mapping[str, str]) -> None:
        """Remove the heartbeats of workers that have ended: they would be counted beside those in their place.

        Of a keeper before this one, whose supervisor was killed, once: where another machine has the same name,
        its own keeper writes them again.
        """
        if self._known is None:
            found = await self._stores.heartbeats.workers()
            self._known = {name: role for name, role in found.items() if _has_ended(name)}
        await self._stores.heartbeats.forget({n: role for n, role in self._known.items() if n not in alive})
        self._known = dict(alive)

    async def _migrate(self) -> None:
        """Bring the store's data to this version's format; nothing is left to do after it has it."""
        await self._migrator.note("worker")
        if not self._migrated:
            self._migrated = await self._migrator.advance(MIGRATE_S)

    async def _agree_on_concurrency(self) -> None:
        """Use the smallest concurrency of all hosts, and warn when ours differs."""
        own = self._settings.upstream_concurrency
        agreed = await self._stores.health.agree_concurrency(self._host, own)
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


def _has_ended(name: str) -> bool:
    """True for a process of this machine that is no more."""
    pid = int(name.rpartition(":")[2])
    if process_name(pid) != name:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is somebody else's now
    return False
