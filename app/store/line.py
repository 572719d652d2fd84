"""The line in the store: places of jobs that wait."""

import time
from collections.abc import Sequence

from app.domain.ids import join_ref
from app.domain.jobs import Job
from app.domain.line import Standings, TeamWaiting, UserWaiting, position
from app.store import keys
from app.store.connection import Client, store_errors
from app.store.scripts import script

REMEMBER_S = 0.5  # places are estimates; who asks for many jobs asks the store once


class LineStore:
    """Says how many jobs will be served before one."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._known: tuple[float, int, Standings] | None = None

    async def length(self) -> int:
        """How many jobs are in line."""
        length, _ = await self._standings()
        return length

    async def position(self, job: Job) -> int | None:
        """How many jobs will be served before this one; None when it is not in line."""
        (place,) = await self.positions([job])
        return place

    async def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """The same for several jobs."""
        if not jobs:
            return []
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for job in jobs:
                pipe.zrank(keys.user_line(job.user), join_ref(job.team, job.id))
            ranks: list[int | None] = await pipe.execute()
        if all(rank is None for rank in ranks):
            return [None] * len(jobs)
        _, standings = await self._standings()
        return [
            None if rank is None else position(standings, team=job.team, user=job.user, rank=rank)
            for job, rank in zip(jobs, ranks, strict=True)
        ]

    async def position_at(self, team: str, user: str, rank: int | None) -> int | None:
        """The same for a place in a user's own line."""
        if rank is None:
            return None
        _, standings = await self._standings()
        return position(standings, team=team, user=user, rank=rank)

    async def position_of_next(self, team: str, user: str) -> int:
        """The same for a job that would be asked for now."""
        with store_errors():
            waiting: int = await self._redis.zcard(keys.user_line(user))
        _, standings = await self._standings()
        return position(standings, team=team, user=user, rank=waiting)

    async def _standings(self) -> tuple[int, Standings]:
        if self._known is None or self._known[0] < time.monotonic():
            with store_errors():
                length, *teams = await script("standings").run(
                    self._redis, keys={"line": keys.LINE}, args={"prefix": keys.PREFIX}
                )
            standings = {
                team: TeamWaiting(int(weight), float(mark), _users(waiting))
                for team, weight, mark, waiting in teams
            }
            self._known = (time.monotonic() + REMEMBER_S, length, standings)
        return self._known[1], self._known[2]


def _users(flat: Sequence[str | int]) -> dict[str, UserWaiting]:
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return {str(user): UserWaiting(float(mark), int(jobs)) for user, mark, jobs in rows}
