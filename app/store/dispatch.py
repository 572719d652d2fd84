"""What must be looked at now: slots, due times, lanes, and who is at work."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from redis.exceptions import TimeoutError as RedisTimeoutError

from app.domain.deliveries import DEAD_LETTERS_MS
from app.domain.errors import StoreUnavailable
from app.domain.ids import split_ref
from app.domain.jobs import Status
from app.store import keys
from app.store.connection import Client, store_errors
from app.store.scripts import script

GRANT_MS = 90_000  # a grant nobody claimed falls back
GRANTS_AT_ONCE = 100
QUIET_MS = 15_000  # without a 429 of fal's, until it is given one job more at once
RUNG_HIDDEN_MS = 3_000  # a rung task that is lost is rung again after this; below a webhook's first pause
HEARTBEAT_MS = 15_000
ROLES = ("deliveries", "lanes", "work")  # of worker processes; without one of each something waits
RUNG = "rung"
RUNG_MS = 2000  # a ring that is lost keeps a lane dark for so long; one that comes late is rung twice, harmlessly
LANE_LEASE_MS = 2000
DEATHS = 2  # of workers that had the same ref in hand, or failed with it, until it is set aside
REMEMBERED_MS = 86_400_000  # each of them
FAILURES = 3  # of a step that is not taken up one by one, until it is set aside
FAILURES_REMEMBERED_MS = 600_000
FAILED_PAUSE_MS = 12_000  # a fault of the machine passes meanwhile
WORKS_ON = {  # job states by step
    "submit": Status.QUEUED,
    "poll": Status.RUNNING,
    "finalize": Status.FINALIZING,
    "resolve": Status.HELD,
}


class SetAside(Exception):
    """This step on this ref ended its worker, or failed, too often: nobody takes it up until somebody decides."""

    def __init__(self, step: str, ref: str) -> None:
        super().__init__(f"{step} of {ref}")
        self.step = step
        self.ref = ref


class DispatchStore:
    """Slots, due times and lane leases. `patient` is a client whose reads may block."""

    def __init__(self, redis: Client, *, patient: Client, concurrency: int) -> None:
        self._redis = redis
        self._patient = patient
        self._concurrency = concurrency
        self._given_back: set[str] = set()  # and not yet written down, because the store was away

    async def renew_connections(self) -> None:
        """Drop idle connections: they may lead to a server that is the primary no more."""
        for client in (self._redis, self._patient):
            await client.connection_pool.disconnect(inuse_connections=False)

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
                    "concurrency": keys.CONCURRENCY,
                },
                args={
                    "prefix": keys.PREFIX,
                    "concurrency": self._concurrency,
                    "grant_ms": GRANT_MS,
                    "quiet_ms": QUIET_MS,
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

    @asynccontextmanager
    async def in_hand(
        self, step: str, ref: str, *, hidden_ms: int, destination: str | None = None
    ) -> AsyncIterator[int]:
        """Take a ref up, and give it back at the end; who dies or fails with it leaves a mark.

        A store that is away is no failure. Gives what `take_up` says; SetAside when there were too many marks.
        """
        now_ms = await self.take_up(step, ref, hidden_ms=hidden_ms, destination=destination)
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
                await self.give_back(step, ref)

    @asynccontextmanager
    async def counting(self, step: str, ref: str) -> AsyncIterator[None]:
        """Count what fails in here, of a step that is not taken up; instead of the last failure raise SetAside.

        A store that is away is no failure.
        """
        try:
            yield
        except StoreUnavailable:
            raise
        except Exception as error:
            if await self._count_failure(step, ref):
                raise SetAside(step, ref) from error
            raise

    async def _count_failure(self, step: str, ref: str) -> bool:
        """True when the step was set aside by it."""
        with store_errors():
            aside = await script("count_failure").run(
                self._redis,
                keys={
                    "job": keys.job(ref),
                    "due": keys.due(step),
                    "suspect": keys.suspect(step, ref),
                    "aside": keys.ASIDE,
                    "slots": keys.SLOTS,
                },
                args={
                    "ref": ref,
                    "mark": f"{step} {ref}",
                    "status": WORKS_ON[step].value,
                    "most": FAILURES,
                    "memory_ms": FAILURES_REMEMBERED_MS,
                    "pause_ms": FAILED_PAUSE_MS,
                },
            )
        return bool(aside)

    async def take_up(self, step: str, ref: str, *, hidden_ms: int, destination: str | None = None) -> int:
        """The store's time (ms) when the ref is ours for `hidden_ms`; 0: in other hands, put off, or not due.

        A delivery waits at its destination, everything else in its step's due set. SetAside when so many workers
        died with it in hand that nobody shall take it up again; a delivery is a dead letter then.
        """
        due = keys.due(step) if destination is None else keys.waiting(destination)
        with store_errors():
            taken = int(
                await script("take_up").run(
                    self._redis,
                    keys={
                        "due": due,
                        "suspect": keys.suspect(step, ref),
                        "aside": keys.ASIDE,
                        "delivery": keys.delivery(ref),
                    },
                    args={
                        "prefix": keys.PREFIX,
                        "ref": ref,
                        "mark": f"{step} {ref}",
                        "deaths": DEATHS,
                        "memory_ms": REMEMBERED_MS,
                        "window_ms": RUNG_HIDDEN_MS,
                        "hidden_ms": hidden_ms,
                        "dead_ms": DEAD_LETTERS_MS,
                    },
                )
            )
        if taken < 0:
            raise SetAside(step, ref)
        return taken

    async def give_back(self, step: str, ref: str) -> None:
        """This process lives on: the ref is not in its hand any more. Said later where the store is away."""
        self._given_back.add(keys.suspect(step, ref))
        said = set(self._given_back)
        with store_errors():
            await self._redis.delete(*said)
        self._given_back -= said

    async def suspects(self, step: str, refs: Sequence[str]) -> set[str]:
        """Which of these are in somebody's hand, or were when it died: they are worked on alone."""
        if not refs:
            return set()
        with store_errors():
            counts = await self._redis.mget([keys.suspect(step, ref) for ref in refs])
        return {ref for ref, count in zip(refs, counts, strict=True) if count is not None}

    async def aside(self) -> list[tuple[str, str, int]]:
        """Step, ref and time (ms) of everything that was set aside, the oldest first."""
        with store_errors():
            rows: dict[str, str] = await self._redis.hgetall(keys.ASIDE)
        found = []
        for mark, at_ms in rows.items():
            step, _, ref = mark.partition(" ")
            found.append((step, ref, int(at_ms)))
        return sorted(found, key=lambda row: row[2])

    async def release(self, step: str, ref: str) -> bool:
        """Let what was set aside go on: it is due now, and no dead letter. False when it was not set aside.

        A running job has its slot again; one that was not bought yet stands in line again.
        """
        now_ms = await self.now_ms()
        with store_errors():
            if not await self._redis.hexists(keys.ASIDE, f"{step} {ref}"):
                return False
            destination = await self._redis.hget(keys.delivery(ref), "destination") if step == "deliver" else None
            pipe = self._redis.pipeline(transaction=True)
            if destination is not None:
                team, delivery_id = split_ref(ref)
                pipe.hset(keys.delivery(ref), "status", "due")
                pipe.hdel(keys.delivery(ref), "died_ms")
                pipe.zrem(keys.dead(team), delivery_id)
                pipe.zadd(keys.waiting(destination), {ref: now_ms})
                pipe.pexpire(keys.waiting(destination), REMEMBERED_MS * 30, nx=True)
            if step == "poll":
                pipe.zadd(keys.SLOTS, {ref: "+inf"}, nx=True)
            if step == "submit":
                pipe.zadd(keys.SLOTS, {ref: now_ms}, nx=True)  # it runs out, and the next grant puts it in line
            elif destination is not None or step != "deliver":  # a delivery that is forgotten is not due anywhere
                pipe.zadd(keys.due(step), {destination or ref: now_ms})
            pipe.hdel(keys.ASIDE, f"{step} {ref}")
            pipe.delete(keys.suspect(step, ref))
            await pipe.execute()
        return True

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

    async def add_due(self, step: str, refs: list[str]) -> None:
        """These refs must be looked at now, unless they already have their time in this step."""
        if refs:
            now_ms = await self.now_ms()
            with store_errors():
                await self._redis.zadd(keys.due(step), dict.fromkeys(refs, now_ms), nx=True)

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
            keys={"lane": keys.lane(lane), "seen": keys.LANES_SEEN},
            args={"mine": mine, "next": following, "lease_ms": lease_ms},
        )
        return bool(changed)

    async def beat(self, name: str, *, role: str) -> None:
        """Say that a worker process, `host:pid`, is alive, and what it works on."""
        await self._beat({name: role}, known=False)

    async def keep_beating(self, roles: Mapping[str, str]) -> set[str]:
        """Say that processes which reported for work are still alive; those that are known, others stay unknown."""
        return await self._beat(roles, known=True)

    async def workers(self) -> dict[str, str]:
        """The worker processes that are alive, `host:pid` to their role. Reads one key, however many there are."""
        oldest = await self.now_ms() - HEARTBEAT_MS
        with store_errors():
            found: list[str] = await self._redis.zrangebyscore(keys.WORKERS, oldest, "+inf")
        return {name: role for role, _, name in sorted(member.partition(" ") for member in found)}

    async def _beat(self, roles: Mapping[str, str], *, known: bool) -> set[str]:
        with store_errors():
            alive: list[str] = await script("beat").run(
                self._redis,
                keys={"workers": keys.WORKERS},
                args={"known": "1" if known else "", "stale_ms": HEARTBEAT_MS},
                rest=[f"{role} {name}" for name, role in roles.items()],
            )
        return {member.partition(" ")[2] for member in alive}

    async def counts(self) -> dict[str, int]:
        """How much waits where: `line`, `later`, `slots`, `held`, and the due sets (`deliver`: destinations)."""
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
