"""The comparison of sums with the ledger that goes on all the time, a page at once."""

import pytest

from app.store import keys, ledger_check
from app.store import ledger as ledger_module
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.anyio


async def compared(pipeline: Pipeline) -> dict[str, str]:
    """All steps for every team, and the gateway; what differs."""
    checks = pipeline.gateway.stores.ledger_checks
    for team in await checks.teams():
        while not await checks.step(team):
            pass
    await checks.compare_gateway()
    return await checks.faults()


async def test_every_kind_of_movement_agrees_and_each_entry_is_read_once(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reserved, spent, released, disputed, credited, corrected: after each, by pages of two, nothing differs."""
    monkeypatch.setattr(ledger_module, "PAGE", 2)
    monkeypatch.setattr(ledger_check, "PAGE", 2)
    gateway, team = pipeline.gateway, pipeline.team
    assert await compared(pipeline) == {}
    await pipeline.ended()
    assert await compared(pipeline) == {}
    held = await pipeline.bought("[emu:drop_after_accept]")
    assert await compared(pipeline) == {}
    await gateway.operations.resolve("test", held.id, "fail", charged=False)
    job_id = await pipeline.admit()
    await gateway.ledger.credit("test", team, micro=5_000_000, reason="x")
    await gateway.ledger.correct("test", team, micro=-300_000, reason="x")
    assert await compared(pipeline) == {}
    await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert await compared(pipeline) == {}
    read: list[int] = []
    pages = ledger_module.LedgerStore.next_pages

    async def counted(self: ledger_module.LedgerStore, after: dict[str, str]) -> object:
        found = await pages(self, after)
        read.append(sum(map(len, found.values())))
        return found

    monkeypatch.setattr(ledger_module.LedgerStore, "next_pages", counted)
    await pipeline.admit()
    assert await compared(pipeline) == {}
    assert sum(read) == 1
    assert (await gateway.ledger.verify()).differences == []


@pytest.mark.parametrize("where", ["total", "held", "day", "reservation", "gateway"])
async def test_a_sum_that_was_changed_is_an_alarm_until_it_is_right(pipeline: Pipeline, where: str) -> None:
    """Whichever of them; the alarm names team and key, and is over when the sum is right."""
    await pipeline.ended()
    job_id = await pipeline.admit()
    assert await compared(pipeline) == {}
    team, redis = pipeline.team, pipeline.redis
    (day,) = [name async for name in redis.scan_iter(match=f"fg:period:*{team}*") if ":day:" in name] or [""]
    changed = {
        "total": (keys.total(team), "used:usd"),
        "held": (keys.total(team), "held:jobs"),
        "day": (day, "used:usd"),
        "reservation": (keys.reservations(team), job_id),
        "gateway": (keys.total("gateway"), "used:usd"),
    }
    name, field = changed[where]
    await redis.hincrby(name, field, 7)
    owner = "gateway" if where == "gateway" else team
    assert set(await compared(pipeline)) == {owner, *(["gateway"] if where in {"total", "held"} else [])}
    await pipeline.gateway.alarm_watch.run_all()
    alarms = {one.about: one.message for one in await pipeline.gateway.stores.alarms.active()}
    assert name in alarms[owner]
    await redis.hincrby(name, field, -7)
    assert await compared(pipeline) == {}
    await pipeline.gateway.alarm_watch.run_all()
    assert await pipeline.gateway.stores.alarms.active() == []


async def test_sums_that_ended_while_the_stores_clock_was_ahead_are_no_difference(pipeline: Pipeline) -> None:
    """A clock that jumps ahead and back: the sums of the last minutes expired, whose time is not over yet."""
    await pipeline.ended()
    gateway, redis = pipeline.gateway, pipeline.redis
    minutes = [name async for name in redis.scan_iter(match="fg:period:minute:*")]
    for name in minutes:
        await redis.rename(name, f"rq:{name}")
    differing = {one.key for one in (await gateway.ledger.verify()).differences}
    assert differing == set(minutes), "without a jump they are missed"
    assert set(await compared(pipeline)) == {pipeline.team}
    ahead_ms = await gateway.stores.clock.now_ms() + 1_200_000  # as the store has noted it meanwhile
    await redis.hset(keys.EPOCH, "seen_ms", ahead_ms)
    try:
        assert (await gateway.ledger.verify()).differences == []
        assert await compared(pipeline) == {}
        await redis.hincrby(keys.total(pipeline.team), "used:usd", 7)
        assert pipeline.team in await compared(pipeline), "totals are compared as ever"
    finally:
        await redis.hincrby(keys.total(pipeline.team), "used:usd", -7)
        await redis.hdel(keys.EPOCH, "seen_ms")
        for name in minutes:
            await redis.rename(f"rq:{name}", name)
