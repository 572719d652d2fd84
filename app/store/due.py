"""When each ref is due next, by step, and the list that wakes those who wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import TimeoutError as RedisTimeoutError

from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

ENQUEUED_HIDDEN_MS = 3_000  # until a task that was lost is enqueued again; below a webhook's first delay


@dataclass(frozen=True, slots=True)
class DueSteps:
    """Which of the steps have something due. `idle`: no job is in line, at fal or in one of these steps."""

    due: frozenset[str]
    idle: bool


class DueStore:
    """A sorted set of refs for each step, by the store's time (ms). `blocking` is the client for blocking reads."""

    def __init__(self, redis: Client, *, blocking: Client) -> None:
        self._redis = redis
        self._blocking = blocking

    async def take(self, step: str, *, limit: int, visibility_ms: int) -> tuple[int, list[str]]:
        """The store's time (ms) and up to `limit` refs that are due, hidden for `visibility_ms`."""
        with store_errors():
            now_ms, *refs = await scripts.take_due(
                self._redis, due=keys.due(step), limit=limit, visibility_ms=visibility_ms
            )
        return now_ms, refs

    async def any(self, step: str) -> bool:
        """True when something is due in this step; unlike `take`, it only reads."""
        return step in (await self.due_steps((step,))).due

    async def due_steps(self, steps: Sequence[str]) -> DueSteps:
        """Which of these steps have something due, and whether anything waits; one round trip, which only reads."""
        with store_errors():
            pipe = self._redis.together()
            for step in steps:
                pipe.zrange(keys.due(step), 0, 0, withscores=True)
            for waiting in (keys.LINE, keys.LATER, keys.SLOTS):
                pipe.zcard(waiting)
            pipe.time()
            *found, now = await pipe.execute()
        firsts = dict(zip(steps, found, strict=False))
        due = frozenset(step for step, first in firsts.items() if first and first[0][1] <= milliseconds(*now))
        return DueSteps(due, idle=not any(found))

    async def reschedule(self, step: str, due_ms: dict[str, int]) -> None:
        """Set when each ref is due next (store's clock), unless it was removed from the step."""
        if due_ms:
            with store_errors():
                await self._redis.zadd(keys.due(step), due_ms, xx=True)

    async def reschedule_hidden(self, step: str, rows: Sequence[tuple[str, int, int]]) -> int:
        """Set when taken, hidden refs are due next, unless their due time has changed since; how many were set.

        Each row: ref, until when it was hidden (ms), when it is due next (ms).
        """
        if not rows:
            return 0
        with store_errors():
            return await scripts.reschedule_hidden(
                self._redis, due=keys.due(step), rest=[str(value) for row in rows for value in row]
            )

    async def add(self, step: str, refs: list[str]) -> None:
        """Make these refs due now, unless they already have a time in this step."""
        if refs:
            with store_errors():
                now_ms = milliseconds(*await self._redis.time())
                await self._redis.zadd(keys.due(step), dict.fromkeys(refs, now_ms), nx=True)

    async def drop(self, step: str, refs: list[str]) -> None:
        """Remove these refs from this step."""
        if refs:
            with store_errors():
                await self._redis.zrem(keys.due(step), *refs)

    async def wait_for_wake(self, *, seconds: float) -> bool:
        """True as soon as something new may be due; False after `seconds` without."""
        try:
            with store_errors():
                return await self._blocking.blpop([keys.WAKE], timeout=seconds) is not None
        except RedisTimeoutError:
            return False

    async def counts(self) -> dict[str, int]:
        """The sizes of `line`, `later`, `slots`, `held` and the due sets (`due_deliver`: destinations)."""
        sets = {"line": keys.LINE, "later": keys.LATER, "slots": keys.SLOTS, "held": keys.HELD}
        sets |= {f"due_{step}": keys.due(step) for step in keys.STEPS}
        with store_errors():
            pipe = self._redis.together()
            for name in sets.values():
                pipe.zcard(name)
            return dict(zip(sets, await pipe.execute(), strict=True))
