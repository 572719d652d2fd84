"""A team's time zone changes: used and held amounts move to the new windows, and the ledger stays right."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.ids import new_id
from app.domain.limits import periods
from app.domain.starts import write_starts
from app.store import keys
from tests.integration.admin import Administrator, administrator
from tests.integration.limits import PRICE, SECONDS, Bounds
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

# Every hour of the day, a quarter and a half of one, and the two extreme offsets.
ZONES = [f"Etc/GMT{hours:+d}" for hours in range(-14, 13)] + ["Asia/Kathmandu", "Asia/Kolkata", "Pacific/Chatham"]
QUARTER_MS = 900_000
MONEY = {"team usd/hour", "team usd/day", "team usd/week", "team usd/month", "user usd/day", "user usd/week"}


async def steady(stack: Stack) -> None:
    """Wait until no hour of any zone ends within the next ten seconds."""

    async def has_time() -> bool:
        return await stack.gateway.stores.clock.now_ms() % QUARTER_MS < QUARTER_MS - 10_000

    await wait_until(has_time, "a quarter of an hour with ten seconds left", timeout=15)


async def limited(stack: Stack, jobs: int) -> Bounds:
    """The stack's owners, with money limits for this many jobs in each window."""
    bounds = Bounds(stack)
    await steady(stack)
    budget = jobs * PRICE
    await bounds.allow("team", usd_hour=budget, usd_day=budget, usd_week=budget, usd_month=budget)
    await bounds.allow("user", usd_day=budget, usd_week=budget)
    return bounds


async def moved(admin: Administrator, bounds: Bounds, zone: str) -> None:
    """Change the team's time zone."""
    await admin.done("PATCH", f"teams/{bounds.ids['team']}", {"time_zone": zone})


async def ledger_is_right(stack: Stack) -> None:
    """`filmgate ledger verify` finds no difference."""
    assert (await stack.gateway.ledger.verify()).differences == []


def shown(bounds_standing: dict[str, dict[str, Any]], name: str) -> set[str]:
    """One member of all money limits."""
    return {bounds_standing[limit][name] for limit in MONEY}


async def test_a_budget_that_is_used_up_stays_so_in_every_zone_and_back(stack: Stack) -> None:
    """$2.80 an hour, a day, a week and a month, all spent: thirty changes of zone allow no further job."""
    bounds = await limited(stack, 2)
    for _ in range(2):
        await bounds.accepted()
    async with administrator(stack) as admin:
        for zone in [*ZONES, "UTC"]:
            await moved(admin, bounds, zone)
            assert await bounds.blocking() == MONEY, zone
            assert shown(await bounds.states(), "held") == {"2.80"}, zone
    await ledger_is_right(stack)


async def test_what_is_held_is_settled_and_comes_back_in_the_new_zone(stack: Stack) -> None:
    """Of three jobs before the change one is bought, one cancelled: two still count, and one more fits."""
    bounds = await limited(stack, 3)
    async with administrator(stack) as admin:
        bought = await bounds.pipeline.bought()
        canceled, waits = await bounds.accepted(), await bounds.accepted()
        await moved(admin, bounds, "Asia/Kathmandu")
        await bounds.refused()
        await bounds.stack.api.post(f"/v1/jobs/{canceled}/cancel")
        await bounds.pipeline.completed(bought.id)
        await bounds.pipeline.finalized(bought.id)
        states = await bounds.states()
        assert (shown(states, "used"), shown(states, "held")) == ({"1.40"}, {"1.40"})
        await bounds.accepted()
        await bounds.refused()
        await moved(admin, bounds, "UTC")
        await bounds.refused()
        await bounds.stack.api.post(f"/v1/jobs/{waits}/cancel")
        await bounds.accepted()
        await bounds.refused()
    await ledger_is_right(stack)


async def test_submissions_during_changes_use_the_budget_once(stack: Stack) -> None:
    """Sixty submissions while the zone changes twenty times: exactly as many as fit are accepted."""
    bounds = await limited(stack, 7)
    async with administrator(stack) as admin:

        async def change() -> None:
            for zone in ZONES[:20]:
                await moved(admin, bounds, zone)

        replies, _ = await asyncio.gather(asyncio.gather(*(bounds.submit() for _ in range(60))), change())
    assert sorted({reply.status_code for reply in replies}) == [202, 402]
    assert sum(reply.status_code == 202 for reply in replies) == 7
    await ledger_is_right(stack)


async def wrote_earlier(bounds: Bounds, at_ms: int, zone: str, *, spent: bool) -> None:
    """Write a job that was admitted at that time, in this zone: its entries and its sums."""
    team, user = bounds.ids["team"], bounds.ids["user"]
    here, gateway = periods(at_ms, zone), periods(at_ms, "UTC")
    entry: dict[str, Any] = {
        "type": "reserve",
        "amount": PRICE,
        "at": at_ms,
        "job": new_id("job"),
        "user": user,
        "key": "key_1",
        "model": "fal-ai/kling-video/v2/master/image-to-video",
        "seconds": SECONDS,
        "price_version": "test",
        "token": "",
        "admitted": at_ms,
        "reason": "",
        "starts": write_starts(here, gateway),
    }
    await bounds.redis.xadd(keys.ledger(team), entry, id=f"{at_ms}-0")
    await bounds.redis.xadd(keys.ledger(team), {**entry, "type": "settle" if spent else "release"}, id=f"{at_ms}-1")
    for owner, calendar in ((team, here), (user, here), ("gateway", gateway)):
        counted = [keys.period(window, period.start_ms, owner) for window, period in calendar.items()]
        for name in (keys.total(owner), *counted):
            for unit, count in (("jobs", 1), ("usd", PRICE), ("video_seconds", SECONDS)):
                await bounds.redis.hincrby(name, f"used:{unit}", count if spent else 0)
            if ":period:" in name:
                await bounds.redis.expire(name, 86_400)


def zone_at(now_ms: int, local_hour: int) -> str:
    """A zone without summer time in which it is this hour now."""
    ahead = (local_hour - datetime.fromtimestamp(now_ms / 1000, UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


async def test_what_was_bought_since_the_new_midnight_counts_though_it_was_yesterday_before(stack: Stack) -> None:
    """Three hours ago was yesterday in the old zone, and is today in the new one; seven hours ago is not."""
    bounds = await limited(stack, 2)
    for owner in ("team", "user"):
        await bounds.allow(owner, usd_day=2 * PRICE)
    now_ms = await stack.gateway.stores.clock.now_ms()
    old, new = zone_at(now_ms, 1), zone_at(now_ms, 5)
    async with administrator(stack) as admin:
        await moved(admin, bounds, old)
        for hours, spent in ((7, True), (3, True), (2.5, False)):
            await wrote_earlier(bounds, now_ms - round(hours * 3_600_000), old, spent=spent)
        assert (await bounds.states())["team usd/day"]["used"] == "0.00"
        await moved(admin, bounds, new)
        assert (await bounds.states())["team usd/day"]["used"] == "1.40"
        assert (await bounds.states())["user usd/day"]["used"] == "1.40"
        await bounds.accepted()
        await bounds.refused()
        await moved(admin, bounds, old)
        assert {name: (await bounds.states())["team usd/day"][name] for name in ("used", "held")} == {
            "used": "0.00",
            "held": "1.40",
        }
    await ledger_is_right(stack)
