"""What must be looked at now: slots, due times, lanes, and who is at work."""

from redis.exceptions import TimeoutError as RedisTimeoutError

from app.store import keys
from app.store.connection import Client, store_errors
from app.store.scripts import script

GRANT_MS = 90_000  # a grant nobody claimed falls back
GRANTS_AT_ONCE = 100
RUNG_HIDDEN_MS = 3_000  # a rung task that is lost is rung again after this; below a webhook's first pause
HEARTBEAT_S = 15
RUNG = "rung"
RUNG_MS = 4000
LANE_LEASE_MS = 2000


class DispatchStore:
    """Slots, due times and lane leases. `patient` is a client whose reads may block."""

    def __init__(self, redis: Client, *, patient: Client, concurrency: int) -> None:
        self._redis = redis
        self._patient = patient
        self._concurrency = concurrency

    async def grant(self) -> int:
        """Give free slots to the first in line; how many were given."""
        with store_errors():
            granted: int = await script("grant").run(
                self._redis,
                keys={
                    "line": keys.LINE,
                    "later": keys.LATER,
                    "slots": keys.SLOTS,
                    "due_submit": keys.due("submit"),
                    "held": keys.HELD,
                    "pauses": keys.PAUSES,
                    "breaker": keys.BREAKER,
                },
                args={
                    "prefix": keys.PREFIX,
                    "concurrency": self._concurrency,
                    "grant_ms": GRANT_MS,
                    "job_prefix": keys.JOB_PREFIX,
                    "limit": GRANTS_AT_ONCE,
                },
            )
        return granted

    async def take_due(self, step: str, *, limit: int, visibility_ms: int) -> tuple[int, list[str]]:
        """The store's time (ms) and up to `limit` refs that are due, hidden for `visibility_ms`."""
        with store_errors():
            now, *refs = await script("take_due").run(
                self._redis,
                keys={"due": keys.due(step)},
                args={"limit": limit, "visibility_ms": visibility_ms},
            )
        return int(now), refs

    async def take_up(self, step: str, ref: str, *, hidden_ms: int) -> int:
        """The store's time (ms) when the ref is ours for `hidden_ms`; 0: in other hands, put off, or not due."""
        with store_errors():
            return int(
                await script("take_up").run(
                    self._redis,
                    keys={"due": keys.due(step)},
                    args={"ref": ref, "window_ms": RUNG_HIDDEN_MS, "hidden_ms": hidden_ms},
                )
            )

    async def any_due(self, step: str) -> bool:
        """True when something has come due in this step; a read, where `take_due` writes."""
        with store_errors():
            first = await self._redis.zrange(keys.due(step), 0, 0, withscores=True)
        return bool(first) and first[0][1] <= await self.now_ms()

    async def look_again(self, step: str, due_ms: dict[str, int]) -> None:
        """Set when each ref is due next (store's clock); refs that are no longer due at all stay away."""
        if due_ms:
            with store_errors():
                await self._redis.zadd(keys.due(step), due_ms, xx=True)

    async def drop_due(self, step: str, refs: list[str]) -> None:
        """These refs need not be looked at in this step any more."""
        if refs:
            with store_errors():
                await self._redis.zrem(keys.due(step), *refs)

    async def now_ms(self) -> int:
        """The store's clock."""
        with store_errors():
            seconds, micro = await self._redis.time()
        return int(seconds) * 1000 + int(micro) // 1000

    async def wait_for_wake(self, *, seconds: float) -> bool:
        """True as soon as something new may be due; False when nothing came."""
        try:
            with store_errors():
                return await self._patient.blpop([keys.WAKE], timeout=seconds) is not None
        except RedisTimeoutError:
            return False

    async def ring_lane(self, lane: int) -> bool:
        """True when the lane has no live slice: the caller then enqueues one."""
        with store_errors():
            return bool(await self._redis.set(keys.lane(lane), RUNG, nx=True, px=RUNG_MS))

    async def take_lane(self, lane: int, token: str) -> bool:
        """Become the lane's slice; False when another live slice has it."""
        with store_errors():
            if await self._change_lane(lane, RUNG, token, LANE_LEASE_MS):
                return True
            return bool(await self._redis.set(keys.lane(lane), token, nx=True, px=LANE_LEASE_MS))

    async def renew_lane(self, lane: int, token: str) -> bool:
        """Keep the lane for another lease; False when it was lost."""
        with store_errors():
            return await self._change_lane(lane, token, token, LANE_LEASE_MS)

    async def pass_lane_on(self, lane: int, token: str) -> bool:
        """Leave the lane `rung` for the next slice; True when the caller is to enqueue it."""
        with store_errors():
            return await self._change_lane(lane, token, RUNG, RUNG_MS)

    async def leave_lane(self, lane: int, token: str) -> None:
        """Let go of the lane at once, so that another process can take it."""
        with store_errors():
            await self._change_lane(lane, token, RUNG, 1)

    async def _change_lane(self, lane: int, mine: str, following: str, lease_ms: int) -> bool:
        changed = await script("lane").run(
            self._redis,
            keys={"lane": keys.lane(lane)},
            args={"mine": mine, "next": following, "lease_ms": lease_ms},
        )
        return bool(changed)

    async def beat(self, name: str, **facts: str | int) -> None:
        """Say that a worker process is alive, and what it does."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.worker(name), mapping=facts)
            pipe.expire(keys.worker(name), HEARTBEAT_S)
            await pipe.execute()

    async def keep_beating(self, names: list[str]) -> None:
        """Say that processes which reported for work are still alive; others stay unknown."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.expire(keys.worker(name), HEARTBEAT_S)
            await pipe.execute()

    async def workers(self) -> dict[str, dict[str, str]]:
        """The worker processes that are alive, by name."""
        with store_errors():
            names = [name async for name in self._redis.scan_iter(match=keys.worker("*"), count=500)]
            found = {}
            for name in sorted(names):
                found[name.removeprefix(keys.worker(""))] = await self._redis.hgetall(name)
        return found

    async def counts(self) -> dict[str, int]:
        """How much waits where: `line`, `later`, `slots`, `held`, and each step's due set."""
        sets = {"line": keys.LINE, "later": keys.LATER, "slots": keys.SLOTS, "held": keys.HELD}
        sets |= {f"due_{step}": keys.due(step) for step in keys.STEPS}
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for name in sets.values():
                pipe.zcard(name)
            return dict(zip(sets, await pipe.execute(), strict=True))

    async def durations(self, model: str) -> list[int]:
        """How long the last generations of this model took, in milliseconds, newest first."""
        with store_errors():
            return [int(text) for text in await self._redis.lrange(keys.durations(model), 0, -1)]
