"""Sets limits on a stack's own owners, reaches them over HTTP, and makes the store's time pass."""

from typing import Any

import httpx

from app.domain.limits import CALENDAR, GATEWAY, Limit, Unit, Window, periods
from app.domain.starts import write_starts
from app.store import keys
from tests.support.entries import whole
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.stack import Stack
from tests.support.waiting import wait_until

PRICE = 1_400_000  # micro-dollars, and
SECONDS = 5  # of video: the size of one job in these tests
SIZE = {Unit.JOBS: 1, Unit.USD: PRICE, Unit.VIDEO_SECONDS: SECONDS, Unit.SUBMITS: 1}


def limit(name: str, amount: int) -> Limit:
    """A limit by its name, such as `usd/day`."""
    unit, _, window = name.partition("/")
    return Limit(Unit(unit), Window(window), amount)


class Bounds:
    """One stack and its three owners: `gateway`, `team` and `user`, the last two of the account."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.pipeline = Pipeline(stack)
        self.redis = self.pipeline.redis
        self.ids = {"gateway": GATEWAY, "team": stack.account.team.id, "user": stack.account.user.id}

    async def allow(self, owner: str, **amounts: int) -> None:
        """Replace an owner's limits; `usd_day=5` is at most five micro-dollars a day."""
        made = [limit("/".join(name.rsplit("_", 1)), amount) for name, amount in amounts.items()]
        await self.stack.gateway.limits.replace("test", self.ids[owner], made)

    async def submit(self, **headers: str) -> httpx.Response:
        """One submission of a job of the usual size."""
        return await self.stack.api.post("/v1/jobs", json=self.stack.body(), headers=headers)

    async def accepted(self, **headers: str) -> str:
        """Submit one more job, which must fit; its id."""
        reply = await self.submit(**headers)
        assert reply.status_code == 202, reply.text
        job_id: str = reply.json()["id"]
        return job_id

    async def refused(self, **headers: str) -> dict[str, Any]:
        """The problem that refuses one more job: 402 when money is short, else 429."""
        reply = await self.submit(**headers)
        assert reply.status_code in {402, 429}, reply.text
        problem: dict[str, Any] = reply.json()
        over = {found["unit"] for found in problem["limits"]}
        expected = (402, "over_budget") if "usd" in over else (429, "over_limit")
        assert (problem["status"], problem["code"]) == expected
        return problem

    async def blocking(self) -> set[str]:
        """The limits that refuse one more job, as `team jobs/day`."""
        problem = await self.refused()
        return {f"{found['owner']} {found['unit']}/{found['window']}" for found in problem["limits"]}

    async def states(self) -> dict[str, dict[str, Any]]:
        """Every limit as `GET /v1/me` shows it, by `team jobs/day`."""
        shown = (await self.stack.api.get("/v1/me")).json()["limits"]
        return {f"{found['owner']} {found['unit']}/{found['window']}": found for found in shown}

    async def rate(self, owner: str, window: str) -> str | None:
        """When the owner's next submission is due at an even pace (microseconds), or None before the first."""
        tat: str | None = await self.redis.get(keys.rate(self.ids[owner], window))
        return tat

    async def steady_minute(self) -> int:
        """Wait until no calendar window ends within the next ten seconds; the store's time (ms)."""

        async def has_time() -> bool:
            return await self.stack.gateway.stores.clock.now_ms() % 60_000 < 50_000

        await wait_until(has_time, "a minute with ten seconds left", timeout=15)
        return await self.stack.gateway.stores.clock.now_ms()

    async def backdate(self, admitted_ms: int, days: int) -> set[str]:
        """Make every job so far, all of one minute, this many days older: its sums, its record, its entries.

        The team is in UTC. Returns the beginnings (ms) of the periods that the jobs are in now.
        """
        then, before = (periods(admitted_ms - past * DAY_MS, "UTC") for past in (0, days))
        for owner_id in self.ids.values():
            for window in CALENDAR:
                old, new = (keys.period(window, found[window].start_ms, owner_id) for found in (then, before))
                await self.redis.rename(old, new)
        frozen = write_starts(before, before)
        async for name in self.redis.scan_iter(match=keys.job("*")):
            await self.redis.hset(name, "starts", frozen)
        ledger = keys.ledger(self.ids["team"])
        entries = await self.redis.xrange(ledger)
        await self.redis.delete(ledger)
        for entry_id, row in whole(entries):
            await self.redis.xadd(ledger, {**row, "starts": frozen}, id=entry_id)
        return {str(period.start_ms) for period in before.values()}

    async def sums(self, owner: str) -> dict[str, dict[str, str]]:
        """The owner's stored sums of every period, by the rest of the key's name."""
        names = sorted([name async for name in self.redis.scan_iter(match=keys.period("*", "*", self.ids[owner]))])
        return {name: await self.redis.hgetall(name) for name in names}
