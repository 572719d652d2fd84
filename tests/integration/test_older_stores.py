"""A store that an older version wrote can be read: its ledger and its packed records."""

from dataclasses import replace

import pytest

from app.domain.jobs import Charge, Status
from app.domain.ledger import Entry
from app.domain.limits import GATEWAY, Window, periods
from app.domain.starts import Starts
from app.store import keys
from tests.integration.limits import Bounds
from tests.integration.older_records import rewrite_admission, rewrite_ledger, rewrite_record, unnamed
from tests.support.entries import UNNAMED
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.anyio


async def entries(pipeline: Pipeline) -> list[Entry]:
    """The team's ledger as the program reads it."""
    return await pipeline.gateway.stores.ledger.entries(pipeline.team)


def first_four(starts: Starts) -> Starts:
    """Without the windows that the older version did not have."""
    team, gateway = (
        {window: own[window] for window in own if window in UNNAMED} for own in (starts.team, starts.gateway)
    )
    return Starts(team, gateway)


async def test_entries_of_either_form_say_the_same(pipeline: Pipeline) -> None:
    """One spent, one released, one open: read, reported and verified as before; the open one ends correctly."""
    await pipeline.ended()
    canceled, queued = await pipeline.admit(), await pipeline.admit()
    assert await pipeline.store.cancel_queued(await pipeline.job(canceled))
    short = await entries(pipeline)
    report = (await pipeline.stack.api.get("/v1/usage")).json()
    await rewrite_ledger(pipeline)
    await pipeline.redis.delete(*await pipeline.redis.keys(f"{keys.USAGE_COUNTED}*"))
    assert await entries(pipeline) == [replace(one, starts=first_four(one.starts)) for one in short]
    assert (await pipeline.stack.api.get("/v1/usage")).json()["total"] == report["total"]
    assert await pipeline.store.end(
        await pipeline.job(queued), (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE
    )
    await pipeline.ended()
    assert [entry.type for entry in await entries(pipeline)] == [one.type for one in short] + [
        "release",
        "reserve",
        "settle",
    ]
    assert (await pipeline.gateway.ledger.verify()).differences == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
async def test_a_job_that_was_admitted_without_windows_names_ends_in_its_periods(
    pipeline: Pipeline, zone: str
) -> None:
    """One is spent, one released, one disputed and decided: in the team's periods and in the gateway's."""
    await pipeline.gateway.administration.change_team("test", pipeline.team, time_zone=zone)
    await Bounds(pipeline.stack).steady_minute()
    paid, canceled = await pipeline.bought(), await pipeline.admit()
    disputed = await pipeline.bought("[emu:422_content_policy]")
    for job_id in (paid.id, canceled, disputed.id):
        await rewrite_admission(pipeline, job_id)
    for job in (paid, disputed):
        await pipeline.completed(job.id)
        await pipeline.finalized(job.id)
    assert await pipeline.store.cancel_queued(await pipeline.job(canceled))
    assert await pipeline.gateway.stores.ledger.decide_dispute(pipeline.ref(disputed.id), spend=True)
    for owner, calendar in ((pipeline.team, zone), (GATEWAY, "UTC")):
        for window in UNNAMED:
            start = periods(paid.created_ms, calendar)[Window(window)].start_ms
            sums = await pipeline.redis.hgetall(keys.period(window, start, owner))
            assert (sums["held:jobs"], sums["used:jobs"]) == ("0", "2"), (owner, window)
    assert await pipeline.redis.keys(keys.period("week", "*", "*")) == [], "no job of that version counts in a week"
    await pipeline.gateway.ledger.correct_job("test", pipeline.team, paid.id, actual=0, reason="x")
    assert (await pipeline.gateway.ledger.verify()).differences == []


async def test_a_live_record_can_be_read_by_an_older_version(pipeline: Pipeline) -> None:
    """It also has the eight numbers until it ends, so that a downgrade is possible while jobs run."""
    job = await pipeline.bought()
    name = keys.job(pipeline.ref(job.id))
    assert job.periods == unnamed({"starts": job.starts})
    await pipeline.completed(job.id)
    ended = await pipeline.finalized(job.id)
    assert (ended.starts, ended.periods) == (job.starts, "")
    assert not {"starts", "periods"} & (await pipeline.redis.hgetall(name)).keys()


async def test_a_settlement_names_its_reservation_on_another_page(pipeline: Pipeline) -> None:
    """Reading from the newest, one at a time. An entry whose reservation is gone is a difference."""
    await pipeline.ended()
    reserve, settle = await entries(pipeline)
    assert (settle.job, settle.user, settle.starts) == (reserve.job, reserve.user, reserve.starts)
    assert await pipeline.gateway.stores.ledger.page(pipeline.team, before=None, count=1) == [settle]
    name = keys.ledger(pipeline.team)
    ((_, row),) = await pipeline.redis.xrange(name, count=1)
    await pipeline.redis.xdel(name, reserve.id)
    assert any(one.key == name for one in (await pipeline.gateway.ledger.verify()).differences)
    ((settle_id, ended),) = await pipeline.redis.xrange(name)
    await pipeline.redis.delete(name)
    await pipeline.redis.xadd(name, row, id=reserve.id)
    await pipeline.redis.xadd(name, ended, id=settle_id)
    await pipeline.redis.delete(*await pipeline.redis.keys(f"{keys.USAGE_COUNTED}*"))


async def test_a_record_that_an_older_version_packed_is_read(pipeline: Pipeline) -> None:
    """Shown as before, corrected, found by its request at fal, and erased."""
    job = await pipeline.ended(metadata={"a": "b"})
    before = (await pipeline.stack.api.get(f"/v1/jobs/{job.id}")).json()
    await rewrite_record(pipeline, job.id)
    assert (await pipeline.stack.api.get(f"/v1/jobs/{job.id}")).json() == before
    assert await pipeline.job(job.id) == job
    request = job.upstream_request_id or ""
    assert await pipeline.store.find_by_requests([request]) == {request: pipeline.ref(job.id)}
    await pipeline.gateway.ledger.correct_job("test", pipeline.team, job.id, actual=0, reason="x")
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert (await pipeline.job(job.id)).erased
