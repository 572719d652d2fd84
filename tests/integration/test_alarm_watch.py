"""Alarms follow from how things are: raised when something holds, resolved when it does not, however it came."""

from typing import Any

import pytest

from app.gateway import open_gateway
from app.services.checks.buying import NOTHING_BOUGHT_MS, SLOTS_FULL_MS
from app.store import keys
from app.store.leases import LeaseStore
from tests.integration.admin import Administrator
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

HOLDS = "[emu:drop_after_accept]"


async def watched(stack: Stack) -> dict[str, str]:
    """Every check, run once; the active alarms by kind, with their sentences."""
    await stack.gateway.alarm_watch.run_all()
    return {alarm.kind: alarm.message for alarm in await stack.gateway.stores.alarms.active()}


async def history(stack: Stack) -> list[tuple[str, str]]:
    """All alarms as they were raised and resolved, the oldest first."""
    return [(alarm.kind, alarm.state) for alarm in reversed(await stack.gateway.stores.alarms.newest(20))]


async def test_held_jobs_are_one_alarm_that_counts_them(pipeline: Pipeline) -> None:
    """Worse with each further one; over when the last is decided."""
    stack = pipeline.stack
    assert await watched(stack) == {}
    first = await pipeline.bought(HOLDS)
    assert (await watched(stack))["held"].startswith("1 job is held")
    second = await pipeline.bought(HOLDS)
    sentence = (await watched(stack))["held"]
    assert sentence.startswith("2 jobs are held")
    assert first.id in sentence
    for job in (first, second):
        await stack.gateway.operations.resolve("test", job.id, "fail", charged=False)
    assert "held" not in await watched(stack)
    assert await history(stack) == [("held", "raised"), ("held", "raised"), ("held", "resolved")]


async def test_a_breaker_is_an_alarm_until_it_is_closed(pipeline: Pipeline) -> None:
    """Also while it tries a job; however it was opened and closed."""
    stack, buying = pipeline.stack, pipeline.gateway.stores.buying
    await pipeline.redis.hset(keys.BREAKER, mapping={"until_ms": "inf", "reason": "The key is refused."})
    assert await watched(stack) == {
        "breaker_opened": "Buying is stopped, until an administrator resumes: The key is refused."
    }
    await pipeline.redis.hset(keys.BREAKER, mapping={"until_ms": 1, "last": "fal is away."})
    assert "tried again every 30 s: fal is away." in (await watched(stack))["breaker_opened"]
    await buying.report("accepted")
    assert await watched(stack) == {}


async def test_a_step_that_is_set_aside_is_an_alarm_until_it_is_released(pipeline: Pipeline) -> None:
    """Its job is named."""
    job = await pipeline.bought("[emu:slow]")
    await pipeline.redis.hset(keys.QUARANTINE, f"poll {pipeline.ref(job.id)}", 1_764_000_000_000)
    assert job.id in (await watched(pipeline.stack))["quarantined"]
    await pipeline.gateway.stores.quarantine.release("poll", pipeline.ref(job.id))
    assert await watched(pipeline.stack) == {}


async def waited(pipeline: Pipeline, ms: int) -> None:
    """As if jobs had been waiting, and nothing had been bought, for so long."""
    redis: Any = pipeline.redis
    past = await pipeline.gateway.stores.clock.now_ms() - ms
    await redis.set(keys.WAITING_SINCE, past, px=60_000)
    if await redis.hexists(keys.BREAKER, "bought_ms"):
        await redis.hset(keys.BREAKER, "bought_ms", past)


async def test_nothing_bought_while_jobs_wait_is_an_alarm(pipeline: Pipeline) -> None:
    """Five minutes with free slots, half an hour with none; not in a pause, not when nothing waits."""
    stack = pipeline.stack
    await waited(pipeline, SLOTS_FULL_MS)
    assert await watched(stack) == {}
    assert not await pipeline.redis.exists(keys.WAITING_SINCE)
    job_id = await pipeline.admit("[emu:slow]")
    assert await watched(stack) == {}
    await waited(pipeline, NOTHING_BOUGHT_MS)
    assert "slots are free" in (await watched(stack))["not_buying"]
    for team in (None, pipeline.team):
        await pipeline.gateway.operations.pause("test", team=team, reason="a visit")
        assert await watched(stack) == {}, team
        await waited(pipeline, NOTHING_BOUGHT_MS)
        await pipeline.gateway.operations.resume("test", team=team)
        await waited(pipeline, NOTHING_BOUGHT_MS)
        assert "not_buying" in await watched(stack), team
    await pipeline.gateway.stores.slots.grant()
    assert (await pipeline.submit(job_id)).status.value == "running"
    assert await watched(stack) == {}
    for _ in range(10):
        await pipeline.admit("[emu:slow]")
    await pipeline.gateway.stores.slots.grant()
    for _ in range(2):
        await watched(stack)
        await waited(pipeline, NOTHING_BOUGHT_MS)
    assert await watched(stack) == {}
    await waited(pipeline, SLOTS_FULL_MS)
    assert "all slots are taken" in (await watched(stack))["not_buying"]


async def test_a_check_that_fails_silences_no_other(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    """A row that cannot be read is in the log, and alarms stay as they are."""
    await pipeline.redis.hset(keys.QUARANTINE, "poll nonsense", "yesterday")
    await pipeline.gateway.stores.alarms.raise_alarm("held", "one job")
    assert await watched(pipeline.stack) == {"held": "one job"}
    assert "alarm_check.failed" in "".join(capfd.readouterr())
    await pipeline.redis.delete(keys.QUARANTINE)


async def test_one_process_watches_and_another_takes_over(pipeline: Pipeline) -> None:
    """While the first has the lease the second raises nothing; when it has left, the second does."""
    alarms, first = pipeline.gateway.stores.alarms, pipeline.gateway.alarm_watch
    async with open_gateway(pipeline.stack.settings, process="api") as second:
        await first.check()
        await pipeline.bought(HOLDS)
        await second.alarm_watch.check()
        assert await alarms.active() == []
        await first.close()
        await second.alarm_watch.check()
        assert [alarm.kind for alarm in await alarms.active()] == ["held"]
        await second.alarm_watch.close()


async def test_the_gateways_own_budget_is_an_alarm_at_each_threshold(
    pipeline: Pipeline, admin: Administrator
) -> None:
    """Half, four fifths, all of it: the last one pages; each once."""
    await admin.done("PUT", "limits", [{"unit": "usd", "window": "month", "amount": "2.80"}])
    for _ in range(2):
        await pipeline.admit()
    raised = [(one.kind, one.message) for one in reversed(await pipeline.gateway.stores.alarms.newest(9))]
    assert [kind for kind, _ in raised] == ["budget_threshold", "budget_used_up"]
    assert "50 % of usd/month" in raised[0][1]
    assert "100 % of usd/month" in raised[1][1]


async def test_a_lease_is_written_again_when_a_third_of_it_is_over(stack: Stack) -> None:
    """It is asked for every second, and each write goes to the store's disk; another process gets none."""
    redis: Any = stack.gateway.stores.redis
    mine, other = LeaseStore(redis), LeaseStore(redis)
    for left_ms, renewed in ((9_000, False), (7_000, False), (5_000, True)):
        assert await mine.take("tested", ms=9_000)
        await redis.pexpire(keys.lease("tested"), left_ms)
        assert await mine.take("tested", ms=9_000)
        assert (await redis.pttl(keys.lease("tested")) > left_ms) is renewed
        assert not await other.take("tested", ms=9_000)
    await mine.leave("tested")
    assert await other.take("tested", ms=9_000)
