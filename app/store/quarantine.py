"""Leases of steps, and the quarantine of steps that crashed their workers or failed too often."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from app.domain.deliveries import DEAD_LETTERS_MS
from app.domain.errors import StoreUnavailable
from app.domain.ids import split_ref
from app.domain.jobs import Status
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.due import ENQUEUED_HIDDEN_MS

MAX_CRASHES = 2  # of workers that were working on the same step of the same ref
CRASHES_REMEMBERED_MS = 86_400_000
MAX_FAILURES = 3  # of a step without a lease
FAILURES_REMEMBERED_MS = 600_000
FAILED_PAUSE_MS = 12_000  # a fault of the machine may pass meanwhile
WAITING_REMEMBERED_MS = 30 * 86_400_000  # a released delivery's
STATE_BY_STEP = {
    "submit": Status.QUEUED,
    "poll": Status.RUNNING,
    "finalize": Status.FINALIZING,
    "resolve": Status.HELD,
}


class Quarantined(Exception):
    """This step on this ref crashed its worker, or failed, too often; an operator must release it."""

    def __init__(self, step: str, ref: str) -> None:
        super().__init__(f"{step} of {ref}")
        self.step = step
        self.ref = ref


class QuarantineStore:
    """Leases of steps, counts of crashes and failures, and the steps that are in quarantine."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._ended: set[str] = set()  # leases whose end is not written yet, because the store did not answer

    @asynccontextmanager
    async def lease(
        self, step: str, ref: str, *, hidden_ms: int, destination: str | None = None
    ) -> AsyncIterator[int]:
        """Acquire a step and end the lease afterwards; a process that crashes or fails meanwhile leaves it open.

        A store that does not answer is no failure. Yields what `acquire` returns; Quarantined after too many open
        leases.
        """
        now_ms = await self.acquire(step, ref, hidden_ms=hidden_ms, destination=destination)
        failed = False
        try:
            yield now_ms
        except StoreUnavailable:
            raise
        except Exception:
            failed = True
            raise
        finally:
            if now_ms and not failed:
                await self.end_lease(step, ref)

    @asynccontextmanager
    async def counting_failures(self, step: str, ref: str) -> AsyncIterator[None]:
        """Count failures of a step without a lease; the last one is raised as Quarantined.

        A store that does not answer is no failure.
        """
        try:
            yield
        except StoreUnavailable:
            raise
        except Exception as error:
            if await self._count_failure(step, ref):
                raise Quarantined(step, ref) from error
            raise

    async def _count_failure(self, step: str, ref: str) -> bool:
        """True when the step is now in quarantine."""
        with store_errors():
            return await scripts.count_failure(
                self._redis,
                job=keys.job(ref),
                due=keys.due(step),
                failures=keys.open_leases(step, ref),
                ref=ref,
                field=f"{step} {ref}",
                status=STATE_BY_STEP[step].value,
                max_failures=MAX_FAILURES,
                remembered_ms=FAILURES_REMEMBERED_MS,
                pause_ms=FAILED_PAUSE_MS,
            )

    async def acquire(self, step: str, ref: str, *, hidden_ms: int, destination: str | None = None) -> int:
        """The store's time (ms) when the lease was acquired for `hidden_ms`; 0: leased, rescheduled, or not due.

        A delivery is due at its destination, every other ref in its step's due set. Quarantined when MAX_CRASHES
        workers crashed during this step on this ref; a delivery becomes a dead letter then.
        """
        due = keys.due(step) if destination is None else keys.waiting(destination)
        with store_errors():
            taken = await scripts.acquire_step(
                self._redis,
                due=due,
                open_leases=keys.open_leases(step, ref),
                delivery=keys.delivery(ref),
                ref=ref,
                field=f"{step} {ref}",
                max_crashes=MAX_CRASHES,
                remembered_ms=CRASHES_REMEMBERED_MS,
                handed_out_ms=ENQUEUED_HIDDEN_MS,
                hidden_ms=hidden_ms,
                dead_ms=DEAD_LETTERS_MS,
            )
        if taken < 0:
            raise Quarantined(step, ref)
        return taken

    async def end_lease(self, step: str, ref: str) -> None:
        """End this process's lease; written by the next call where the store does not answer."""
        self._ended.add(keys.open_leases(step, ref))
        written = set(self._ended)
        with store_errors():
            await self._redis.delete(*written)
        self._ended -= written

    async def leased(self, step: str, refs: Sequence[str]) -> set[str]:
        """Which of these have an open lease: in progress, or their worker crashed. They are run alone."""
        if not refs:
            return set()
        with store_errors():
            counts = await self._redis.mget([keys.open_leases(step, ref) for ref in refs])
        return {ref for ref, count in zip(refs, counts, strict=True) if count is not None}

    async def steps(self) -> list[tuple[str, str, int]]:
        """Step, ref and time (ms) of everything in quarantine, the oldest first."""
        with store_errors():
            rows = await self._redis.hgetall(keys.QUARANTINE)
        steps = [(*name.partition(" ")[::2], int(at_ms)) for name, at_ms in rows.items()]
        return sorted(steps, key=lambda row: row[2])

    async def release(self, step: str, ref: str) -> bool:
        """End the quarantine of a step: it is due now, and no dead letter. False when it is not in quarantine.

        A running job gets its slot back; one that was not bought yet is in line again.
        """
        with store_errors():
            now_ms = milliseconds(*await self._redis.time())
            if not await self._redis.hexists(keys.QUARANTINE, f"{step} {ref}"):
                return False
            destination = await self._redis.hget(keys.delivery(ref), "destination") if step == "deliver" else None
            pipe = self._redis.pipeline(transaction=True)
            if destination is not None:
                team, delivery_id = split_ref(ref)
                pipe.hset(keys.delivery(ref), "status", "due")
                pipe.hdel(keys.delivery(ref), "died_ms")
                pipe.zrem(keys.dead(team), delivery_id)
                pipe.zadd(keys.waiting(destination), {ref: now_ms})
                pipe.pexpire(keys.waiting(destination), WAITING_REMEMBERED_MS, nx=True)
            if step == "poll":
                pipe.zadd(keys.SLOTS, {ref: "+inf"}, nx=True)
            if step == "submit":
                pipe.zadd(keys.SLOTS, {ref: now_ms}, nx=True)  # it expires, and the next grant puts the job in line
            elif destination is not None or step != "deliver":  # an expired delivery is not due anywhere
                pipe.zadd(keys.due(step), {destination or ref: now_ms})
            pipe.hdel(keys.QUARANTINE, f"{step} {ref}")
            pipe.delete(keys.open_leases(step, ref))
            await pipe.execute()
        return True
