"""The line in the store: positions of queued jobs, and each team's load."""

from collections import Counter
from collections.abc import Sequence
from math import isinf

from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.line import LinePosition, QueueState, TeamLoad, TeamWaiting, UserWaiting, position
from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.recent import Recent

WAITING_KEPT_MS = 3_600_000
CACHE_S = 0.5  # positions are estimates; a list of many jobs reads the line once


class LineStore:
    """Computes how many jobs will be served before one."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._queue = Recent(self._queue_state, seconds=CACHE_S)

    async def durations(self, model: str) -> list[int]:
        """Durations (ms) of this model's newest generations, newest first."""
        with store_errors():
            return [int(text) for text in await self._redis.lrange(keys.durations(model), 0, -1)]

    async def position(self, job: Job) -> int | None:
        """How many jobs will be served before this one; None when it is not in line."""
        (before,) = await self.positions([job])
        return before

    async def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """The same for several jobs."""
        if not jobs:
            return []
        with store_errors():
            pipe = self._redis.together()
            for job in jobs:
                pipe.zrank(keys.user_line(job.user), job.ref)
            ranks: list[int | None] = await pipe.execute()
        return [
            await self.position_at(job.team, job.user, rank, micro=job.quoted_micro)
            for job, rank in zip(jobs, ranks, strict=True)
        ]

    async def position_at(self, team: str, user: str, rank: int | None, *, micro: int) -> int | None:
        """The same for a rank in a user's own line, and a job of this price (micro-dollars)."""
        if rank is None:
            return None
        queue = await self._queue.get()
        return position(queue, await self._place(queue, team, user, rank), micro=micro)

    async def position_of_next(self, team: str, user: str, *, micro: int) -> int:
        """The same for a job that would be submitted now."""
        with store_errors():
            waiting: int = await self._redis.zcard(keys.user_line(user))
        queue = await self._queue.get()
        return position(queue, await self._place(queue, team, user, waiting), micro=micro)

    async def shares(self, teams: Sequence[str]) -> dict[str, TeamLoad]:
        """The load of each of these teams."""
        with store_errors():
            pipe = self._redis.together()
            pipe.zrange(keys.SLOTS, 0, -1, withscores=True)
            pipe.zrange(keys.HELD, 0, -1)
            for team in teams:
                pipe.scard(keys.queued(team))
            slots, held, *queued = await pipe.execute()
        # Only claimed slots have no end; a grant's expires, and so does a held job's.
        running = Counter(split_ref(ref)[0] for ref, until in slots if isinf(until))
        on_hold = Counter(split_ref(ref)[0] for ref in held)
        return {
            team: TeamLoad(count, running[team], on_hold[team]) for team, count in zip(teams, queued, strict=True)
        }

    async def held(self) -> tuple[int, tuple[str, int] | None]:
        """How many jobs are held, and the oldest one's ref and since when (ms)."""
        with store_errors():
            pipe = self._redis.together()
            pipe.zcard(keys.HELD)
            pipe.zrange(keys.HELD, 0, 0, withscores=True)
            count, first = await pipe.execute()
        return count, ((first[0][0], int(first[0][1])) if first else None)

    async def waiting(self, paused: Sequence[str]) -> tuple[int, int | None, int]:
        """How many jobs wait to be bought, since when (ms) there are some, and the store's time (ms).

        None while there are none but those of the `paused` teams. To be asked every few seconds, by one process.
        """
        with store_errors():
            pipe = self._redis.together()
            for name in (keys.LINE, keys.LATER, keys.due("submit"), keys.LINE_TEAMS):
                pipe.zcard(name)
            for team in paused:
                pipe.zscore(keys.LINE_TEAMS, team)
            pipe.get(keys.WAITING_SINCE)
            pipe.time()
            in_line, later, granted, teams, *scores, since, now = await pipe.execute()
            now_ms, count = milliseconds(*now), in_line + later + granted
            others = teams - sum(score is not None for score in scores)
            if count == 0 or (in_line == count and others == 0):
                if since is not None:
                    await self._redis.delete(keys.WAITING_SINCE)
                return count, None, now_ms
            since = since or now_ms
            await self._redis.set(keys.WAITING_SINCE, since, px=WAITING_KEPT_MS)
        return count, int(since), now_ms

    async def _place(self, queue: QueueState, team: str, user: str, rank: int) -> LinePosition:
        """A job's place; a newcomer's virtual time is computed as by `begin_waiting` in `lua/lib/line.lua`."""
        own = queue.get(team)
        mine = own.users.get(user) if own is not None else None
        if own is not None and mine is not None:
            return LinePosition(team, own.weight, own.virtual_time, user, mine.virtual_time, rank)
        with store_errors():
            pipe = self._redis.together()
            pipe.hmget(keys.VIRTUAL_TIMES, team, "now:teams", user, f"now:{team}")
            pipe.hget(keys.team(team), "weight")
            times, weight = await pipe.execute()
        team_time, now_of_teams, user_time, now_of_users = (float(text or 0) for text in times)
        user_time = max(user_time, now_of_users)
        if own is not None:
            return LinePosition(team, own.weight, own.virtual_time, user, user_time, rank)
        return LinePosition(team, int(weight or 1), max(team_time, now_of_teams), user, user_time, rank)

    async def _queue_state(self) -> QueueState:
        with store_errors():
            _, *teams = await scripts.read_queue_state(self._redis)
        return {
            team: TeamWaiting(int(weight), float(virtual_time), _users(waiting), bool(paused))
            for team, weight, virtual_time, paused, waiting in teams
        }


def _users(flat: Sequence[str | int]) -> dict[str, UserWaiting]:
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return {str(user): UserWaiting(float(virtual_time), int(jobs)) for user, virtual_time, jobs in rows}
