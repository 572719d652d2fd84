"""Limits: every unit and window refuses the submission that exceeds it, says why, and charges nothing for it."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.limits import CALENDAR, UNITS, Unit, Window, format_amount, periods
from app.domain.times import iso
from app.store import keys
from tests.integration.limits import PRICE, SIZE, Bounds, limit
from tests.integration.refusals import assert_problem, nothing_changes, store_digests
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

OWNERS = ("gateway", "team", "user")
PAIRS = [(unit, window) for window in Window for unit in Unit if unit in UNITS[window]]
CASES = [(OWNERS[number % 3], unit, window) for number, (unit, window) in enumerate(PAIRS)]


@pytest.fixture
def bounds(stack: Stack) -> Bounds:
    """The stack's owners and their limits."""
    return Bounds(stack)


def expected_state(owner: str, unit: Unit, window: Window, now_ms: int) -> dict[str, Any]:
    """A refusal's figures for a limit that two running jobs use up."""

    def amount(jobs: int) -> str | int:
        text = format_amount(unit, jobs * SIZE[unit])
        return text if unit is Unit.USD else int(text)

    spent = unit is Unit.SUBMITS
    ends = {window: period.end_ms for window, period in periods(now_ms, "UTC").items()}
    return {
        "owner": owner,
        "unit": unit.value,
        "window": window.value,
        "amount": amount(2),
        "used": amount(2 if spent else 0),
        "held": amount(0 if spent else 2),
        "left": amount(0),
        "resets_at": iso(ends.get(window)),
    }


@pytest.mark.parametrize(("owner", "unit", "window"), CASES, ids=str)
async def test_the_one_too_many_is_refused_and_changes_nothing(
    bounds: Bounds, owner: str, unit: Unit, window: Window
) -> None:
    """Two fit, the third does not: the reply has the limit with all its figures, and the store is unchanged."""
    await bounds.allow(owner, **{f"{unit}_{window}": 2 * SIZE[unit]})
    now_ms = await bounds.steady_minute()
    for _ in range(2):
        await bounds.accepted()
    async with nothing_changes(bounds.stack):
        reply = await bounds.submit()
    money = unit is Unit.USD
    problem = assert_problem(reply, 402 if money else 429, "over_budget" if money else "over_limit")
    (found,) = problem["limits"]
    expected = expected_state(owner, unit, window, now_ms)
    if unit is Unit.SUBMITS:  # its next one is due by the rate, not by the calendar
        assert found["resets_at"] > iso(now_ms)
        expected["resets_at"] = found["resets_at"]
    assert found == expected
    assert ("retry-after" in reply.headers) == (not money)


async def test_a_refusal_says_in_a_sentence_what_is_missing(bounds: Bounds) -> None:
    """Owner, amount, used, held, left, needed, and when the window begins again."""
    await bounds.allow("user", usd_day=2 * PRICE)
    now_ms = await bounds.steady_minute()
    await bounds.accepted()
    await bounds.accepted()
    again = (iso(periods(now_ms, "UTC")[Window.DAY].end_ms) or "").replace(".000Z", "Z")
    assert (await bounds.refused())["detail"] == (
        "The limit of the user is 2.80 US dollars a day; used 0.00, held 2.80; left 0.00, needed 1.40; "
        f"it begins anew at {again}."
    )


async def test_one_limit_in_the_way_keeps_all_owners_sums_untouched(bounds: Bounds) -> None:
    """A user's limit refuses: neither the team nor the gateway has anything held; and so for each other owner."""
    room = {"jobs_total": 5, "jobs_day": 5, "usd_month": 5 * PRICE, "jobs_concurrent": 5}
    for refusing in OWNERS:
        for owner in OWNERS:
            await bounds.allow(owner, **room, **({"video_seconds_hour": 4} if owner == refusing else {}))
        async with nothing_changes(bounds.stack):
            assert await bounds.blocking() == {f"{refusing} video_seconds/hour"}
        assert [await bounds.sums(owner) for owner in OWNERS] == [{}, {}, {}]


async def test_every_limit_in_the_way_is_named_and_money_decides_the_status(bounds: Bounds) -> None:
    """Two limits refuse at once: both are named, and the status is 402."""
    await bounds.allow("team", usd_total=PRICE - 1, jobs_day=9)
    await bounds.allow("user", jobs_concurrent=0)
    assert await bounds.blocking() == {"team usd/total", "user jobs/concurrent"}


async def test_a_job_that_fits_to_the_micro_dollar_is_accepted(bounds: Bounds) -> None:
    """Exactly the price is enough; a micro-dollar less is not."""
    await bounds.allow("team", usd_day=PRICE - 1)
    await bounds.refused()
    await bounds.allow("team", usd_day=PRICE)
    await bounds.accepted()


async def test_a_released_job_gives_its_room_back(bounds: Bounds) -> None:
    """Once cancelled in line, it counts nowhere."""
    await bounds.allow("team", jobs_day=1, usd_total=PRICE, video_seconds_month=5, jobs_queued=1)
    job_id = await bounds.accepted()
    assert len(await bounds.blocking()) == 4
    await bounds.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    await bounds.accepted()


async def test_a_spent_job_keeps_its_room_but_not_its_place(bounds: Bounds) -> None:
    """Once it succeeded, it is used and no longer held; it is not concurrent with the next one."""
    await bounds.allow("user", jobs_day=1, usd_total=PRICE)
    await bounds.allow("team", jobs_concurrent=1)
    await bounds.pipeline.ended()
    (jobs, money) = (await bounds.refused())["limits"]
    assert (money["used"], money["held"], jobs["used"], jobs["held"]) == ("1.40", "0.00", 1, 0)
    await bounds.allow("user")
    await bounds.accepted()


async def test_a_disputed_job_keeps_what_it_holds_until_it_is_decided(bounds: Bounds) -> None:
    """A runner's 422 may have been charged: held, then released when fal did not charge."""
    await bounds.allow("team", usd_total=PRICE)
    job = await bounds.pipeline.ended("[emu:422_content_policy]")
    (money,) = (await bounds.refused())["limits"]
    assert (money["used"], money["held"]) == ("0.00", "1.40")
    assert await bounds.stack.gateway.stores.ledger.decide_dispute(bounds.pipeline.ref(job.id), spend=False)
    await bounds.accepted()


async def test_a_limit_below_what_is_used_stops_admissions_and_not_the_jobs(bounds: Bounds) -> None:
    """Two running jobs, then a limit of one: no third, and both end as they would have."""
    await bounds.allow("team", jobs_total=9)
    running = await bounds.pipeline.bought()
    waiting = await bounds.accepted()
    await bounds.allow("team", jobs_total=1)
    (found,) = (await bounds.refused())["limits"]
    assert (found["amount"], found["held"], found["left"]) == (1, 2, 0)
    await bounds.pipeline.completed(running.id)
    assert (await bounds.pipeline.finalized(running.id)).status == "succeeded"
    await bounds.stack.gateway.stores.slots.grant()
    assert (await bounds.pipeline.submit(waiting)).status == "running"
    states = (await bounds.states())["team jobs/total"]
    assert (states["used"], states["held"]) == (1, 1)
    assert await bounds.blocking() == {"team jobs/total"}


async def test_a_raise_is_in_force_until_its_end(bounds: Bounds) -> None:
    """One more fits while it lasts; afterwards the old amount applies again, less than what is held."""
    await bounds.allow("team", usd_day=PRICE)
    await bounds.accepted()
    await bounds.refused()
    limits, team = bounds.stack.gateway.limits, bounds.ids["team"]
    await limits.raise_for("test", team, limit("usd/day", 2 * PRICE), seconds=3600)
    await bounds.accepted()
    assert (await bounds.refused())["limits"][0]["amount"] == "2.80"
    await limits.raise_for("test", team, limit("usd/day", 3 * PRICE), seconds=3600)
    past = await bounds.stack.gateway.stores.clock.now_ms() - 1
    await bounds.redis.hset(keys.limits(team), "raise:usd/day", f"{3 * PRICE} {past}")
    (found,) = (await bounds.refused())["limits"]
    assert (found["amount"], found["held"], found["left"]) == ("1.40", "2.80", "0.00")


async def test_a_credit_makes_room_in_every_money_window(bounds: Bounds) -> None:
    """Each of the team's windows and its total grow by the credit; its jobs, and its users, get no more."""
    await bounds.allow("team", **{f"usd_{window}": PRICE for window in (*CALENDAR, "total")}, jobs_day=9)
    await bounds.steady_minute()
    await bounds.accepted()
    windows = len(CALENDAR) + 1
    assert len(await bounds.blocking()) == windows
    await bounds.stack.gateway.ledger.credit("test", bounds.ids["team"], micro=PRICE, reason="sorry")
    await bounds.accepted()
    problem = await bounds.refused()
    assert [found["amount"] for found in problem["limits"]] == ["2.80"] * windows
    assert (await bounds.states())["team jobs/day"]["amount"] == 9


async def test_a_week_begins_on_monday_by_the_teams_clock_and_for_the_gateway_by_utc(bounds: Bounds) -> None:
    """One job a week for each: both windows begin at midnight on Monday, each by its own calendar."""
    zone = "Pacific/Kiritimati"  # 14 hours ahead of UTC
    await bounds.stack.gateway.administration.change_team("test", bounds.ids["team"], time_zone=zone)
    await bounds.allow("team", jobs_week=1)
    await bounds.allow("gateway", jobs_week=1)
    await bounds.steady_minute()
    await bounds.accepted()
    problem = await bounds.refused()
    again = {found["owner"]: datetime.fromisoformat(found["resets_at"]) for found in problem["limits"]}
    assert again.keys() == {"team", "gateway"}
    for owner, zone_name in (("team", zone), ("gateway", "UTC")):
        monday = again[owner].astimezone(ZoneInfo(zone_name))
        assert (monday.isoweekday(), monday.hour, monday.minute) == (1, 0, 0)
    assert (await bounds.states())["team jobs/week"]["held"] == 1
    assert "a week" in problem["detail"]


async def test_a_held_job_counts_as_concurrent(bounds: Bounds) -> None:
    """Its outcome is unknown, so it may still be running: it counts."""
    await bounds.allow("user", jobs_concurrent=1)
    job = await bounds.pipeline.bought("[emu:submit_502_accepted]")
    assert job.status == "held"
    assert await bounds.blocking() == {"user jobs/concurrent"}
    await bounds.stack.gateway.operations.resolve("test", job.id, "fail", charged=False)
    await bounds.accepted()


async def test_queued_counts_only_what_waits_in_line(bounds: Bounds, pipeline: Pipeline) -> None:
    """A claim frees the place, a grant does not; a job that is requeued takes it again."""
    await bounds.allow("team", jobs_queued=1)
    job_id = await bounds.accepted()
    await bounds.stack.gateway.stores.slots.grant()
    assert await bounds.blocking() == {"team jobs/queued"}
    job = await pipeline.job(job_id)
    assert await pipeline.store.claim(job)
    assert (await bounds.states())["team jobs/queued"]["held"] == 0
    claimed = await pipeline.job(job_id)
    assert await pipeline.store.requeue(claimed, nonce=claimed.nonce or "", wait_ms=60_000)
    assert await bounds.blocking() == {"team jobs/queued"}


async def test_only_the_rate_is_spent_by_a_refusal_over_another_limit(bounds: Bounds) -> None:
    """The one key that differs is the rate's, with one more submission."""
    await bounds.allow("team", jobs_total=0, submits_hour=2)
    await bounds.refused()
    first, before = await bounds.rate("team", "hour"), await store_digests(bounds.stack)
    assert await bounds.blocking() == {"team jobs/total"}
    after = await store_digests(bounds.stack)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {
        keys.rate(bounds.ids["team"], "hour")
    }
    assert int(await bounds.rate("team", "hour") or 0) - int(first or 0) == 1_800_000_000
    async with nothing_changes(bounds.stack):  # the third exceeds the rate too, which is not charged then
        assert await bounds.blocking() == {"team jobs/total", "team submits/hour"}


async def test_one_rate_in_the_way_spends_no_other(bounds: Bounds) -> None:
    """The user's rate is full: the team's and the gateway's are unchanged."""
    await bounds.allow("user", submits_minute=1)
    await bounds.allow("team", submits_hour=9)
    await bounds.allow("gateway", submits_minute=9)
    await bounds.accepted()
    async with nothing_changes(bounds.stack):
        assert await bounds.blocking() == {"user submits/minute"}


async def test_a_repeat_meets_no_limit_and_spends_no_rate(bounds: Bounds) -> None:
    """Over every limit, the same idempotency key still returns its job; a new key does not."""
    await bounds.allow("team", submits_hour=5)
    headers = {"Idempotency-Key": "once"}
    job_id = await bounds.accepted(**headers)
    for owner in OWNERS:
        await bounds.allow(owner, **{f"{unit}_{window}": 0 for unit, window in PAIRS})
    async with nothing_changes(bounds.stack):
        reply = await bounds.submit(**headers)
    assert (reply.status_code, reply.headers["idempotent-replayed"]) == (202, "true")
    assert (reply.json()["id"], reply.json()["repeated"]) == (job_id, True)
    assert len(await bounds.blocking()) == len(OWNERS) * len(PAIRS)
