"""A store that an older version wrote is read as ever: its ledger and its packed records."""

from dataclasses import replace

import pytest

from app.domain.jobs import Charge, Status
from app.domain.ledger import Entry
from app.domain.limits import GATEWAY, Window, periods
from app.domain.starts import Starts
from app.store import keys
from tests.support.entries import UNNAMED
from tests.support.hand import Hand
from tests.support.limits import Bounds
from tests.support.older import rewrite_admission, rewrite_ledger, rewrite_record, unnamed

pytestmark = pytest.mark.anyio


async def entries(hand: Hand) -> list[Entry]:
    """The team's ledger as the program reads it."""
    return await hand.gateway.stores.ledger.entries(hand.team)


def first_four(starts: Starts) -> Starts:
    """Without the windows that the older version did not know."""
    team, gateway = (
        {window: own[window] for window in own if window in UNNAMED} for own in (starts.team, starts.gateway)
    )
    return Starts(team, gateway)


async def test_entries_of_either_form_say_the_same(hand: Hand) -> None:
    """One spent, one given back, one open: read, reported and verified as before; the open one ends in full."""
    await hand.ended()
    canceled, queued = await hand.admit(), await hand.admit()
    assert await hand.store.cancel_queued(await hand.job(canceled))
    short = await entries(hand)
    report = (await hand.stack.api.get("/v1/usage")).json()
    await rewrite_ledger(hand)
    await hand.redis.delete(*await hand.redis.keys(f"{keys.USAGE_COUNTED}*"))
    assert await entries(hand) == [replace(one, starts=first_four(one.starts)) for one in short]
    assert (await hand.stack.api.get("/v1/usage")).json()["total"] == report["total"]
    assert await hand.store.end(await hand.job(queued), (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE)
    await hand.ended()
    assert [entry.type for entry in await entries(hand)] == [one.type for one in short] + [
        "release",
        "reserve",
        "settle",
    ]
    assert (await hand.gateway.ledger.verify()).differences == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
async def test_a_job_that_was_admitted_without_windows_names_ends_in_its_periods(hand: Hand, zone: str) -> None:
    """One is paid, one comes back, one is disputed and decided: in the team's periods and in the gateway's."""
    await hand.gateway.administration.change_team("test", hand.team, time_zone=zone)
    await Bounds(hand.stack).steady_minute()
    paid, canceled = await hand.bought(), await hand.admit()
    disputed = await hand.bought("[emu:422_content_policy]")
    for job_id in (paid.id, canceled, disputed.id):
        await rewrite_admission(hand, job_id)
    for job in (paid, disputed):
        await hand.completed(job.id)
        await hand.finalized(job.id)
    assert await hand.store.cancel_queued(await hand.job(canceled))
    assert await hand.gateway.stores.ledger.decide_dispute(hand.ref(disputed.id), spend=True)
    for owner, calendar in ((hand.team, zone), (GATEWAY, "UTC")):
        for window in UNNAMED:
            start = periods(paid.created_ms, calendar)[Window(window)].start_ms
            sums = await hand.redis.hgetall(keys.period(window, start, owner))
            assert (sums["held:jobs"], sums["used:jobs"]) == ("0", "2"), (owner, window)
    assert await hand.redis.keys(keys.period("week", "*", "*")) == [], "no job of that version counts in a week"
    await hand.gateway.ledger.correct_job("test", hand.team, paid.id, actual=0, reason="x")
    assert (await hand.gateway.ledger.verify()).differences == []


async def test_a_live_record_can_be_read_by_an_older_version(hand: Hand) -> None:
    """It has the eight numbers too until it ends, so that one can go back while jobs run; then they are gone."""
    job = await hand.bought()
    name = keys.job(hand.ref(job.id))
    assert job.periods == unnamed({"starts": job.starts})
    await hand.completed(job.id)
    ended = await hand.finalized(job.id)
    assert (ended.starts, ended.periods) == (job.starts, "")
    assert not {"starts", "periods"} & (await hand.redis.hgetall(name)).keys()


async def test_a_settlement_names_its_reservation_on_another_page(hand: Hand) -> None:
    """Read from the newest, one at a time. One whose reservation is gone is a difference."""
    await hand.ended()
    reserve, settle = await entries(hand)
    assert (settle.job, settle.user, settle.starts) == (reserve.job, reserve.user, reserve.starts)
    assert await hand.gateway.stores.ledger.page(hand.team, before=None, count=1) == [settle]
    name = keys.ledger(hand.team)
    ((_, row),) = await hand.redis.xrange(name, count=1)
    await hand.redis.xdel(name, reserve.id)
    assert any(one.key == name for one in (await hand.gateway.ledger.verify()).differences)
    ((settle_id, ended),) = await hand.redis.xrange(name)
    await hand.redis.delete(name)
    await hand.redis.xadd(name, row, id=reserve.id)
    await hand.redis.xadd(name, ended, id=settle_id)
    await hand.redis.delete(*await hand.redis.keys(f"{keys.USAGE_COUNTED}*"))


async def test_a_record_that_an_older_version_packed_is_read(hand: Hand) -> None:
    """Shown as before, corrected, found by its request at fal, and erased."""
    job = await hand.ended(metadata={"a": "b"})
    before = (await hand.stack.api.get(f"/v1/jobs/{job.id}")).json()
    await rewrite_record(hand, job.id)
    assert (await hand.stack.api.get(f"/v1/jobs/{job.id}")).json() == before
    assert await hand.job(job.id) == job
    assert await hand.store.find_by_request(job.upstream_request_id or "") == hand.ref(job.id)
    await hand.gateway.ledger.correct_job("test", hand.team, job.id, actual=0, reason="x")
    assert (await hand.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert (await hand.job(job.id)).erased
