"""The lane: a chain of short RQ tasks that keeps every job moving."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.errors import StoreUnavailable
from app.domain.ids import new_nonce, ref_names
from app.domain.jobs import Charge, Job, JobError, Status
from app.gateway import Gateway
from app.metrics.table import STEP_FAULTS
from app.store.due import ENQUEUED_HIDDEN_MS
from app.store.lanes import ENQUEUED
from app.store.slots import Granted
from app.stores import Stores
from app.tasks import cancel_and_wait
from workers.polling import Polling
from workers.quarantine import give_up, last_moment_ms
from workers.queues import BATCH, MAX_WAITING_TASKS
from workers.runtime import Runtime
from workers.storage_care import CARE_EVERY_S

SLICE_S = 5.0
RENEW_S = 0.5
WAKE_S = 0.25
IDLE_S = 0.5  # while no job is anywhere: whatever changes that wakes the lane, or may wait so long
STEPS = ("submit", "finalize", "deliver")
OWN_ROUNDS = frozenset({"deliver", "keep"})  # take what is due themselves: one task is enough

FINISH_S = 2.0  # for running polls; slower ones are cancelled and become due again
HOUSEKEEPING_S = 1.0
EXPIRE_BATCH = 100
RETRY_MS = 60_000
USAGE_PAGES = 200  # of each team's ledger in one slice; there is more only after an upgrade
USAGE_PAUSE_S = 0.01  # between them, so that the store serves others

log = structlog.get_logger()


async def run_lane(runtime: Runtime, number: int) -> None:
    """One slice of lane `number`.

    1. take the lane; end at once if another live slice has it
    2. loop until the slice is over, the lease is lost, or the worker stops
    3. let running polls finish for a moment, then enqueue the next slice; after an outage of the store release the
       lane, and any process enqueues it
    """
    token = new_nonce()
    stores = runtime.gateway.stores
    if not await _acquire(stores, number, token):
        return
    crash_point("lane.taken")
    lane = Slice(runtime, number, token)
    try:
        try:
            await lane.run()
        finally:
            await lane.finish()
    except StoreUnavailable:
        with suppress(StoreUnavailable):
            await stores.lanes.leave(number, token)
        raise
    if runtime.stopping:
        await stores.lanes.leave(number, token)
    elif await stores.lanes.hand_over(number, token):
        crash_point("lane.left")
        try:
            await runtime.task_queue.enqueue_lane(number)
        except StoreUnavailable:
            await stores.lanes.leave(number, ENQUEUED)  # so that another process enqueues it at once
            raise


async def _acquire(stores: Stores, number: int, token: str) -> bool:
    """Take the lane; try again on new connections, because an old one may lead to a lost primary.

    Otherwise the lane would stay idle until the mark of this task expires.
    """
    try:
        return await stores.lanes.take(number, token)
    except StoreUnavailable:
        await stores.renew_connections()
        return await stores.lanes.take(number, token) or await stores.lanes.renew(number, token)


class Slice:
    """A few seconds of one lane."""

    def __init__(self, runtime: Runtime, number: int, token: str) -> None:
        self._runtime = runtime
        self._gateway: Gateway = runtime.gateway
        self._number = number
        self._token = token
        self._concurrent: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._polling = Polling(self._gateway, runtime.poll_plans, on_end=self._wake.set)
        self._last_housekeeping = 0.0
        self._lost = False
        self._steps = STEPS if self._gateway.storage is None else (*STEPS, "keep")

    async def run(self) -> None:
        """The loop.

        0. every 15 s, concurrently: compare ended jobs with fal's bill, and search its history for held ones; on
           the first lane, add new ledger entries to the sums of usage; started first, so that they finish within
           the slice. Poll what is due, concurrently too (`Polling`)
        1. grant free slots to the first in line
        2. once a second: end jobs past their deadline, decide old disputes; once a minute: sweep the slots
        3. wake the polling if a poll is due; enqueue due submits and finalizes while few tasks wait, and a round of
           deliveries if one is due
        4. wait for a wake-up, for a job that has ended at fal, or a quarter of a second; an idle lane waits longer
        """
        for task in (self._runtime.bill, self._runtime.history):
            if task.is_due():
                self._track(asyncio.create_task(task.run()))
        if self._number == 0:
            self._track(asyncio.create_task(sum_usage(self._gateway)))
            self._track(asyncio.create_task(self._care_for_storage()))
        end = time.monotonic() + SLICE_S
        renewing = asyncio.create_task(self._keep_lease())
        waking = asyncio.create_task(self._listen())
        polling = asyncio.create_task(self._polling.run())
        try:
            while time.monotonic() < end and not self._runtime.stopping and not self._lost:
                self._wake.clear()
                crash_point("grant.before")
                if granted := await self._gateway.stores.slots.grant():
                    crash_point("grant.after")
                    for one in granted:
                        log_grant(one)
                await self._housekeeping()
                found = await self._gateway.stores.due.due_steps(("poll", *self._steps))
                if "poll" in found.due:
                    self._polling.wake.set()
                for step in self._steps:
                    if step in found.due:
                        await self._enqueue(step)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), IDLE_S if found.idle else WAKE_S)
        finally:
            self._polling.stop()
            await polling
            await cancel_and_wait(renewing, waking)

    async def finish(self) -> None:
        """Let running polls end while the lease is kept; slow ones are cancelled, and become due again."""
        renewing = asyncio.create_task(self._keep_lease())
        until = time.monotonic() + FINISH_S
        await self._polling.finish(seconds=FINISH_S)
        if self._concurrent:
            await asyncio.wait(self._concurrent, timeout=max(0.0, until - time.monotonic()))
        await cancel_and_wait(renewing, *self._concurrent)

    async def _keep_lease(self) -> None:
        while not self._lost:
            await asyncio.sleep(RENEW_S)
            with suppress(StoreUnavailable):  # the lease then expires
                self._lost = not await self._gateway.stores.lanes.renew(self._number, self._token)

    async def _listen(self) -> None:
        while True:
            try:
                if await self._gateway.stores.due.wait_for_wake(seconds=1.0):
                    self._wake.set()
            except StoreUnavailable:
                await asyncio.sleep(WAKE_S)

    def _track(self, task: asyncio.Task[None]) -> None:
        """Run it concurrently with the loop, at most until `finish`."""
        self._concurrent.add(task)
        task.add_done_callback(self._concurrent.discard)

    async def _enqueue(self, step: str) -> None:
        room = await self._runtime.task_queue.room(step)
        if step in OWN_ROUNDS:
            if room == MAX_WAITING_TASKS:
                await self._runtime.task_queue.enqueue(step, [])
            return
        for _ in range(room):
            _, refs = await self._gateway.stores.due.take(step, limit=BATCH[step], visibility_ms=ENQUEUED_HIDDEN_MS)
            if refs:
                crash_point("ring.before")
                await self._runtime.task_queue.enqueue(step, refs)
            if len(refs) < BATCH[step]:
                return

    async def _care_for_storage(self) -> None:
        """Enqueue a round that looks after the storage, about every 15 s, also when nothing is to be copied."""
        if self._gateway.storage is not None and time.monotonic() >= self._runtime.next_care:
            self._runtime.next_care = time.monotonic() + CARE_EVERY_S
            with suppress(StoreUnavailable):
                await self._enqueue("keep")

    async def _housekeeping(self) -> None:
        if time.monotonic() - self._last_housekeeping < HOUSEKEEPING_S:
            return
        self._last_housekeeping = time.monotonic()
        await expire(self._gateway)
        await decide_disputes(self._gateway)
        await sweep_slots(self._gateway)


def log_grant(granted: Granted) -> None:
    """The line and the span of a job's wait for its slot."""
    log.info("job.granted", **granted.names, waited_ms=granted.waited_ms)
    if tracing.is_on():
        ended_ns = time.time_ns()
        began_ns = ended_ns - granted.waited_ms * tracing.MS_NS
        about_job = {"filmgate.job": granted.names["job"]}
        tracing.record("queue", granted.trace, began_ns=began_ns, ended_ns=ended_ns, attributes=about_job)


async def expire(gateway: Gateway) -> None:
    """End queued jobs whose start deadline or deadline has passed, and jobs at fal that are long past it.

    A queued job was never bought; with a cancel request it is canceled. A job that is given up is also cancelled at
    fal: with a quarantined step it has not been polled, and may still run there.
    """
    now_ms, refs = await gateway.stores.due.take("expire", limit=EXPIRE_BATCH, visibility_ms=ENQUEUED_HIDDEN_MS)
    given_up: list[Job] = []
    for ref, job in zip(refs, await gateway.stores.jobs.get_many(refs), strict=True):
        async with _isolated(gateway, "expire", ref, now_ms):
            if await _expire(gateway, ref, job, now_ms) and job is not None:
                given_up.append(job)
    await gateway.fal.cancel_abandoned((job.model, job.upstream_request_id) for job in given_up)


async def _expire(gateway: Gateway, ref: str, job: Job | None, now_ms: int) -> bool:
    """True for a job that was given up."""
    if job is None or job.status is Status.HELD or job.status.ended:
        await gateway.stores.due.drop("expire", [ref])
    elif job.status in {Status.RUNNING, Status.FINALIZING}:
        if now_ms < last_moment_ms(job):
            await gateway.stores.due.reschedule("expire", {ref: last_moment_ms(job)})
        else:
            return await give_up(gateway, job)
    elif job.status is Status.QUEUED and job.cancel_requested_ms is not None:
        await gateway.stores.jobs.cancel_queued(job)
    elif job.status is Status.QUEUED:
        await gateway.stores.jobs.end(
            job, (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE, error=_deadline_error(job, now_ms)
        )
    return False


@asynccontextmanager
async def _isolated(gateway: Gateway, step: str, ref: str, now_ms: int) -> AsyncIterator[None]:
    """Log a failure inside, and make the job due again in a minute."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception:
        STEP_FAULTS.add(step)
        log.exception("step.failed", step=step, **ref_names(ref))
        await gateway.stores.due.reschedule(step, {ref: now_ms + RETRY_MS})


def _deadline_error(job: Job, now_ms: int) -> JobError:
    if now_ms < job.deadline_ms:
        return JobError("start_timeout", "The job did not start before its start deadline.", retryable=True)
    return JobError("deadline_exceeded", "The job did not start before its deadline.", retryable=True)


async def decide_disputes(gateway: Gateway) -> None:
    """Decide disputes by the operator's setting, a day after the job's end."""
    now_ms, refs = await gateway.stores.due.take("dispute", limit=EXPIRE_BATCH, visibility_ms=ENQUEUED_HIDDEN_MS)
    spend = gateway.settings.unproven_charge == "settle"
    for ref in refs:
        async with _isolated(gateway, "dispute", ref, now_ms):
            if await gateway.stores.ledger.decide_dispute(ref, spend=spend):
                log.info("dispute.decided", **ref_names(ref), money="spent" if spend else "released")


async def sum_usage(gateway: Gateway) -> None:
    """Add new ledger entries to the sums of usage, a page of each team in turn."""
    with suppress(StoreUnavailable):
        teams = await gateway.stores.usage.behind()
        for _ in range(USAGE_PAGES):
            teams = [team for team in teams if await gateway.stores.usage.fold(team)]
            if not teams:
                return
            await asyncio.sleep(USAGE_PAUSE_S)


async def sweep_slots(gateway: Gateway) -> None:
    """Correct slots that do not match their jobs; there should be none, because scripts change both together."""
    swept = await gateway.stores.buying.sweep_if_due()
    if swept.freed or swept.granted or swept.rescheduled:
        log.error("slots.swept", freed=swept.freed, granted=swept.granted, rescheduled=swept.rescheduled)
