"""The verification of the ledger: no findings while it is right, also under load, and exact ones otherwise."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from app.domain.ledger import Correction
from app.domain.limits import GATEWAY, Window, periods
from app.domain.verification import Difference, VerificationReport
from app.services.tokens import TokenRequest
from app.store import keys
from tests.support.callers import second_account
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
FOREIGN = "job_" + "f" * 32


async def verified(stack: Stack) -> VerificationReport:
    """Run the verification."""
    return await stack.gateway.ledger.verify()


async def test_an_empty_ledger_is_right(stack: Stack) -> None:
    """A team without a job: nothing to read, no finding."""
    assert await verified(stack) == VerificationReport(teams=1, entries=0, differences=[])


async def token_client_job(pipeline: Pipeline) -> None:
    """A job submitted with a browser token."""
    caller = await pipeline.gateway.accounts.authenticate(pipeline.stack.account.key)
    minted = await pipeline.gateway.tokens.mint(caller, TokenRequest(max_jobs=5))
    headers = {"Authorization": f"Bearer {minted.token}"}
    reply = await pipeline.stack.api.post("/v1/jobs", json=pipeline.stack.body(), headers=headers)
    assert reply.status_code == 202, reply.text


async def test_the_ledger_is_right_after_work_of_every_kind(pipeline: Pipeline) -> None:
    """Successes, failures, cancels, disputes, corrections up and down, credits, tokens, another user and team."""
    ledger, team = pipeline.gateway.ledger, pipeline.team
    chance = random.Random(3)  # noqa: S311  a repeatable order, no secret

    async def cancelled() -> None:
        await pipeline.stack.api.post(f"/v1/jobs/{await pipeline.admit()}/cancel")

    async def corrected() -> None:
        job = await pipeline.ended()
        actual = chance.choice([0, 700_000, 2 * PRICE])
        assert await ledger.correct_job("test", team, job.id, actual=actual, reason="x") is Correction.CORRECTED

    async def disputed() -> None:
        job = await pipeline.ended("[emu:422_content_policy]")
        if chance.random() < 0.7:
            await pipeline.gateway.stores.ledger.decide_dispute(pipeline.ref(job.id), spend=chance.random() < 0.5)

    async def by_others() -> None:
        for same_team in (True, False):
            async with second_account(pipeline.stack, same_team=same_team) as other:
                assert (await other.post("/v1/jobs", json=pipeline.stack.body())).status_code == 202

    kinds: list[Callable[[], Awaitable[Any]]] = [
        pipeline.ended,
        pipeline.admit,
        pipeline.bought,
        cancelled,
        corrected,
        disputed,
        by_others,
        lambda: token_client_job(pipeline),
        lambda: pipeline.ended("[emu:500_downstream]"),
        lambda: ledger.credit("test", team, micro=chance.randrange(10**6), reason="x"),
        lambda: ledger.correct("test", team, micro=chance.randrange(10**6), reason="x"),
    ]
    steps = kinds * 2
    chance.shuffle(steps)
    for step in steps:
        await step()
    found = await verified(pipeline.stack)
    assert found.differences == []
    assert found.teams == 3
    teams = await pipeline.redis.smembers(keys.TEAMS)
    assert found.entries == sum([await pipeline.redis.xlen(keys.ledger(one)) for one in teams])


async def test_no_difference_is_seen_while_jobs_come_and_go(stack: Stack) -> None:
    """Twenty runs while four clients submit and cancel, and one submits for a new team each time."""
    stop = asyncio.Event()
    done = 0

    async def more(before: int) -> bool:
        return done > before or stop.is_set()

    async def submit_and_cancel() -> None:
        nonlocal done
        while not stop.is_set():
            job = await stack.submit()
            await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
            done += 1

    async def as_somebody_new() -> None:
        for _ in range(40):
            async with second_account(stack) as other:
                await other.post("/v1/jobs", json=stack.body())
            await wait_until(partial(more, done), "another job came and went", interval=0.001)

    busy = [asyncio.create_task(submit_and_cancel()) for _ in range(4)]
    busy.append(asyncio.create_task(as_somebody_new()))
    runs = []
    try:
        for _ in range(20):
            before = done
            runs.append(await verified(stack))
            await wait_until(partial(more, before), "another job came and went", interval=0.001)
    finally:
        stop.set()
        await asyncio.gather(*busy)
    assert [run.differences for run in runs] == [[]] * 20
    assert runs[-1].entries > runs[0].entries
    assert runs[-1].teams > runs[0].teams
    assert (await verified(stack)).differences == []


class Tampering:
    """A queued job, and a direct connection to the store. `undo` restores changed keys."""

    def __init__(self, pipeline: Pipeline, job: str) -> None:
        self.pipeline = pipeline
        self.redis = pipeline.redis
        self.job = job
        self.team = pipeline.team
        self.user = pipeline.stack.account.user.id
        self._before: dict[str, tuple[dict[str, str] | set[str], int]] = {}

    async def touch(self, name: str, *command: str | int) -> None:
        """Run `command[0] name command[1:]`."""
        read = self.redis.smembers if name.startswith((keys.live(""), keys.queued(""))) else self.redis.hgetall
        self._before[name] = (await read(name), await self.redis.pexpiretime(name))
        await self.redis.execute_command(command[0], name, *command[1:])

    async def undo(self) -> None:
        """Restore the changed keys."""
        for name, (value, expires_ms) in self._before.items():
            await self.redis.delete(name)
            if isinstance(value, dict):
                await self.redis.hset(name, mapping=value)
            elif value:
                await self.redis.sadd(name, *value)
            if expires_ms > 0:
                await self.redis.pexpireat(name, expires_ms)

    async def period(self, window: str, owner: str) -> str:
        """The key of the owner's sums in the job's window."""
        now = periods((await self.pipeline.job(self.job)).created_ms, "UTC")
        return keys.period(window, now[Window(window)].start_ms, owner)


@pytest.fixture
async def tampering(pipeline: Pipeline) -> Tampering:
    """A queued job and a charged one."""
    await pipeline.ended()
    return Tampering(pipeline, await pipeline.admit())


@pytest.mark.parametrize("owner", ["gateway", "team", "user"])
@pytest.mark.parametrize("window", ["total", "hour", "day", "week", "month"])
async def test_a_changed_counter_is_named(tampering: Tampering, owner: str, window: str) -> None:
    """One micro-dollar too much, in any window of any owner."""
    holder = {"gateway": GATEWAY, "team": tampering.team, "user": tampering.user}[owner]
    name = keys.total(holder) if window == "total" else await tampering.period(window, holder)
    await tampering.touch(name, "HINCRBY", "used:usd", 1)
    assert (await verified(tampering.pipeline.stack)).differences == [
        Difference(name, "used:usd", PRICE + 1, PRICE)
    ]
    await tampering.undo()
    assert (await verified(tampering.pipeline.stack)).differences == []


async def test_what_is_no_counter_or_no_number_is_named(tampering: Tampering) -> None:
    """A field that no entry explains, and text; the record of an alert is neither."""
    name = keys.total(tampering.team)
    await tampering.touch(name, "HSET", "used:mistakes", 3, "held:jobs", "many", "told:team/day", "50 1000")
    assert (await verified(tampering.pipeline.stack)).differences == [
        Difference(name, "held:jobs", "many", 1),
        Difference(name, "used:mistakes", 3, 0),
    ]
    await tampering.undo()


async def test_a_lost_reservation_and_a_foreign_one_are_named(tampering: Tampering) -> None:
    """Each by its job."""
    name = keys.reservations(tampering.team)
    await tampering.redis.hset(name, FOREIGN, 5)
    await tampering.touch(name, "HDEL", tampering.job)
    found = (await verified(tampering.pipeline.stack)).differences
    assert sorted(found, key=lambda one: one.field == FOREIGN) == [
        Difference(name, tampering.job, None, PRICE),
        Difference(name, FOREIGN, 5, None),
    ]
    await tampering.undo()
    await tampering.redis.hdel(name, FOREIGN)


@pytest.mark.parametrize("window", ["hour", "day", "week", "month"])
async def test_lost_sums_of_a_current_period_are_named(tampering: Tampering, window: str) -> None:
    """Each of their non-zero counters."""
    name = await tampering.period(window, tampering.team)
    await tampering.touch(name, "DEL")
    assert (await verified(tampering.pipeline.stack)).differences == [
        Difference(name, "held:jobs", None, 1),
        Difference(name, "held:usd", None, PRICE),
        Difference(name, "held:video_seconds", None, 5),
        Difference(name, "used:jobs", None, 1),
        Difference(name, "used:usd", None, PRICE),
        Difference(name, "used:video_seconds", None, 5),
    ]
    await tampering.undo()


async def test_sums_of_a_period_without_entries_are_named(tampering: Tampering) -> None:
    """A period without any jobs."""
    name = keys.period("day", 1_000_000_000_000, tampering.user)
    await tampering.redis.hset(name, "used:jobs", 1)
    await tampering.redis.pexpire(name, 60_000)
    assert (await verified(tampering.pipeline.stack)).differences == [Difference(name, "used:jobs", 1, 0)]
    await tampering.redis.delete(name)


@pytest.mark.parametrize("owner", ["gateway", "team", "user"])
async def test_an_index_entry_without_a_job_and_a_job_without_one_are_named(
    tampering: Tampering, owner: str
) -> None:
    """A foreign id among the live ones; a queued job that is missing in the line."""
    holder = {"gateway": GATEWAY, "team": tampering.team, "user": tampering.user}[owner]
    await tampering.touch(keys.live(holder), "SADD", FOREIGN)
    await tampering.touch(keys.queued(holder), "SREM", tampering.job)
    assert (await verified(tampering.pipeline.stack)).differences == [
        Difference(keys.live(holder), FOREIGN, 1, None),
        Difference(keys.queued(holder), tampering.job, None, 1),
    ]
    await tampering.undo()


async def test_a_live_job_whose_record_has_ended_or_is_gone_is_named(tampering: Tampering) -> None:
    """In each index that has it."""
    owners = sorted([GATEWAY, tampering.team, tampering.user])
    names = [place(owner) for place in (keys.live, keys.queued) for owner in owners]
    places = [Difference(name, tampering.job, 1, None) for name in names]
    record = keys.job(tampering.pipeline.ref(tampering.job))
    for command in (("HSET", "status", "failed"), ("DEL",)):
        await tampering.touch(record, *command)
        assert (await verified(tampering.pipeline.stack)).differences == places
        await tampering.undo()


async def test_a_reservation_that_is_closed_twice_is_named(tampering: Tampering) -> None:
    """A second release in the ledger: by its job, next to the counters that no longer match."""
    name = keys.ledger(tampering.team)
    ((reserved, row),) = await tampering.redis.xrevrange(name, count=1)
    _, amount, at_ms, *_ = row["entry"].split()
    release = f"release {amount} {at_ms} {reserved}"
    added = [await tampering.redis.xadd(name, {"entry": release}) for _ in range(2)]
    found = (await verified(tampering.pipeline.stack)).differences
    assert [one for one in found if one.key == name] == [Difference(name, tampering.job, PRICE, None)]
    assert Difference(keys.total(tampering.team), "held:jobs", 1, -1) in found
    assert Difference(keys.reservations(tampering.team), tampering.job, PRICE, None) in found
    await tampering.redis.xdel(name, *added)
    await tampering.redis.delete(*await tampering.redis.keys(f"{keys.USAGE_COUNTED}*"))  # they include it too


async def test_sums_of_usage_that_the_entries_do_not_explain_are_named(tampering: Tampering) -> None:
    """A different number, with its unit; a lost day; a day without jobs."""
    assert (await verified(tampering.pipeline.stack)).differences == []
    (day,) = await tampering.redis.zrange(keys.usage_days(tampering.team), 0, -1)
    name = keys.usage_day(tampering.team, day)
    ((field, text),) = (await tampering.redis.hgetall(name)).items()
    jobs, seconds, spent, held = map(int, text.split())
    await tampering.touch(name, "HSET", field, f"{jobs + 1} {seconds} {spent} {held - 5}", "a b c", "junk")
    assert (await verified(tampering.pipeline.stack)).differences == [
        Difference(name, "a b c", "junk", None),
        Difference(name, f"jobs {field}", jobs + 1, jobs),
        Difference(name, f"held {field}", held - 5, held),
    ]
    await tampering.undo()
    await tampering.touch(name, "DEL")
    assert {one.field.split()[0] for one in (await verified(tampering.pipeline.stack)).differences} == {
        unit
        for unit, number in {"jobs": jobs, "video_seconds": seconds, "spent": spent, "held": held}.items()
        if number
    }
    await tampering.undo()


async def test_the_ledger_of_a_deleted_team_is_verified_too(stack: Stack) -> None:
    """Its entries stay, and so does its share of the gateway's sums."""
    job = await stack.submit()
    await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
    await stack.gateway.administration.remove_team("test", stack.account.team.id)
    assert await verified(stack) == VerificationReport(teams=1, entries=2, differences=[])
