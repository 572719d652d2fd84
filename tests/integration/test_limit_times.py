"""Limits and time: the store's clock decides, periods are fixed at admission, alerts are sent once."""

import time
from collections.abc import Callable

import pytest

from app.domain.events import BudgetNotice
from app.domain.limits import Owner, Window, periods
from app.domain.starts import write_starts
from app.store import keys
from app.store.admission import AdmissionStore, Admitted, OverLimits
from app.store.clock import ClockEstimate
from tests.integration.limits import PRICE, SECONDS, Bounds
from tests.integration.submissions import submission_of
from tests.support.pipeline import DAY_MS
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


@pytest.fixture
def bounds(stack: Stack) -> Bounds:
    """The stack's owners and their limits."""
    return Bounds(stack)


def starts(now_ms: int, zone: str = "UTC") -> str:
    """A job's fixed periods, for a team in this zone."""
    return write_starts(periods(now_ms, zone), periods(now_ms, "UTC"))


@pytest.mark.parametrize(
    "wall",
    [lambda: time.time() + 3 * 86_400, lambda: time.time() - 3 * 86_400, lambda: 0.0],
    ids=["three days ahead", "three days behind", "1970"],
)
async def test_a_wrong_local_clock_changes_neither_admission_nor_period(
    bounds: Bounds, wall: Callable[[], float]
) -> None:
    """Only the store's clock counts: one job fits today and a second does not, whatever this machine's clock."""
    await bounds.allow("team", jobs_day=1)
    now_ms = await bounds.steady_minute()
    admission = AdmissionStore(bounds.redis, ClockEstimate(wall), retention_ms=30 * DAY_MS)
    first = await admission.admit(submission_of(bounds.stack))
    assert isinstance(first, Admitted)
    assert abs(first.job.created_ms - now_ms) < 10_000
    periods_of = await bounds.redis.hget(keys.job(bounds.pipeline.ref(first.job.id)), "starts")
    assert periods_of == starts(now_ms)
    second = await AdmissionStore(bounds.redis, ClockEstimate(wall), retention_ms=30 * DAY_MS).admit(
        submission_of(bounds.stack)
    )
    assert isinstance(second, OverLimits)
    assert second.limits[0].resets_ms == periods(now_ms, "UTC")[Window.DAY].end_ms


async def test_a_new_time_zone_is_seen_in_the_same_submission(bounds: Bounds) -> None:
    """The process still caches the old zone; the script reports it, and the job gets the new zone's periods."""
    await bounds.accepted()
    zone = "Asia/Kathmandu"  # 5:45 hours ahead of UTC: every window except the minute begins at another time
    await bounds.stack.gateway.administration.change_team("test", bounds.ids["team"], time_zone=zone)
    now_ms = await bounds.steady_minute()
    job_id = await bounds.accepted()
    assert await bounds.redis.hget(keys.job(bounds.pipeline.ref(job_id)), "starts") == starts(now_ms, zone)
    await bounds.allow("team", jobs_day=0)
    await bounds.allow("gateway", jobs_day=0)
    found = {limit["owner"]: limit["resets_at"] for limit in (await bounds.refused())["limits"]}
    assert found["team"] != found["gateway"]
    assert found["team"][11:16] == "18:15"  # midnight in Kathmandu


async def test_a_settlement_counts_in_the_period_of_its_admission(bounds: Bounds) -> None:
    """Admitted forty days ago, ended today: that day's sums get it, and today's limit is unchanged."""
    await bounds.allow("team", jobs_day=1, usd_hour=PRICE)
    await bounds.allow("user", video_seconds_month=2 * SECONDS)
    now_ms = await bounds.steady_minute()
    job = await bounds.pipeline.bought()
    await bounds.refused()
    earlier = await bounds.backdate(now_ms, 40)
    await bounds.pipeline.completed(job.id)
    await bounds.pipeline.finalized(job.id)
    for owner in ("gateway", "team", "user"):
        sums = await bounds.sums(owner)
        assert {name.split(":")[3] for name in sums} == earlier
        for found in sums.values():
            used = {name: int(value) for name, value in found.items() if name.startswith("used:")}
            assert used == {"used:jobs": 1, "used:usd": PRICE, "used:video_seconds": SECONDS}
            assert {value for name, value in found.items() if name.startswith("held:")} == {"0"}
    await bounds.accepted()


KEPT_DAYS = {"minute": 1 / 144, "hour": 1, "day": 40, "week": 40, "month": 400}


async def test_sums_are_forgotten_some_time_after_the_end_of_their_period(bounds: Bounds) -> None:
    """Ten minutes, a day, forty days or four hundred: for every owner, however many jobs there are."""
    now_ms = await bounds.steady_minute()
    await bounds.accepted()
    await bounds.accepted()
    for owner in bounds.ids.values():
        for window, period in periods(now_ms, "UTC").items():
            until = await bounds.redis.pexpiretime(keys.period(window, period.start_ms, owner))
            assert until == period.end_ms + KEPT_DAYS[window] * DAY_MS, (owner, window)


@pytest.mark.parametrize("tag", ["", "[emu:500_downstream]"], ids=["spent", "released"])
async def test_a_forgotten_period_does_not_come_back_with_a_late_settlement(bounds: Bounds, tag: str) -> None:
    """Its sums have expired: they are not written again, nothing is negative, and the total is right."""
    now_ms = await bounds.steady_minute()
    job = await bounds.pipeline.bought(tag)
    await bounds.backdate(now_ms, 800)
    for owner in ("gateway", "team", "user"):
        await bounds.redis.delete(*(await bounds.sums(owner)))
    await bounds.pipeline.completed(job.id)
    await bounds.pipeline.finalized(job.id)
    assert [await bounds.sums(owner) for owner in ("gateway", "team", "user")] == [{}, {}, {}]
    assert await bounds.pipeline.money() == (0, 0 if tag else PRICE)


async def notices(bounds: Bounds) -> list[BudgetNotice]:
    """The alerts about money limits, in order."""
    events = (await bounds.stack.gateway.stores.events.after(bounds.ids["team"], "0")).events
    return [event for event in events if isinstance(event, BudgetNotice)]


async def test_each_threshold_of_a_money_limit_is_one_alert(bounds: Bounds) -> None:
    """50, 80 and 100 % of ten jobs' money: three alerts; going below and above again repeats none."""
    await bounds.allow("team", usd_total=10 * PRICE, jobs_total=10)
    job_ids = [await bounds.accepted() for _ in range(10)]
    await bounds.refused()
    alerts = await notices(bounds)
    assert [(one.threshold, one.used, one.held) for one in alerts] == [
        (50, 0, 5 * PRICE),
        (80, 0, 8 * PRICE),
        (100, 0, 10 * PRICE),
    ]
    assert {(one.owner, one.window, one.amount, one.user, one.resets_ms) for one in alerts} == {
        (Owner.TEAM, "total", 10 * PRICE, None, None)
    }
    for job_id in job_ids[:6]:
        await bounds.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    for _ in range(6):
        await bounds.accepted()
    assert len(await notices(bounds)) == 3


async def test_another_amount_has_its_own_alerts(bounds: Bounds) -> None:
    """Twice the money: the former 100 % is below 80 %, and 50 % of the new amount is an alert."""
    await bounds.allow("team", usd_total=5 * PRICE)
    for _ in range(5):
        await bounds.accepted()
    await bounds.allow("team", usd_total=10 * PRICE)
    await bounds.accepted()
    alerts = [(one.threshold, one.amount // PRICE) for one in await notices(bounds)]
    assert alerts == [(50, 5), (80, 5), (100, 5), (50, 10)]


async def test_a_jump_over_two_thresholds_tells_the_higher_one(bounds: Bounds) -> None:
    """The first job takes the whole amount: one alert, of 100 %."""
    await bounds.allow("team", usd_day=PRICE)
    await bounds.accepted()
    assert [one.threshold for one in await notices(bounds)] == [100]


async def test_a_new_period_has_its_own_alerts(bounds: Bounds) -> None:
    """Yesterday's alerts do not count for today: a new day sends its own."""
    await bounds.allow("team", usd_day=PRICE)
    now_ms = await bounds.steady_minute()
    await bounds.accepted()
    await bounds.backdate(now_ms, 1)
    await bounds.accepted()
    alerts = await notices(bounds)
    assert [one.threshold for one in alerts] == [100, 100]


async def test_a_users_limit_tells_the_team_whose_it_is(bounds: Bounds) -> None:
    """The alert has the user's id; the gateway's limits and limits of other units send none."""
    await bounds.allow("user", usd_month=2 * PRICE, jobs_day=1)
    await bounds.allow("gateway", usd_total=PRICE, usd_day=PRICE)
    await bounds.accepted()
    (alerts,) = await notices(bounds)
    assert (alerts.owner, alerts.user, alerts.threshold) == (Owner.USER, bounds.ids["user"], 50)
