"""A store that an older version wrote is read as ever: its ledger and its packed records."""

import pytest

from app.domain.jobs import Charge, Status
from app.domain.ledger import Entry
from app.store import keys
from tests.support.hand import Hand
from tests.support.older import rewrite_ledger, rewrite_record

pytestmark = pytest.mark.anyio


async def entries(hand: Hand) -> list[Entry]:
    """The team's ledger as the program reads it."""
    return await hand.gateway.stores.ledger.entries(hand.team)


async def test_entries_of_either_form_say_the_same(hand: Hand) -> None:
    """One spent, one given back, one open: read, reported and verified as before; the open one ends in full."""
    await hand.ended()
    canceled, queued = await hand.admit(), await hand.admit()
    assert await hand.store.cancel_queued(await hand.job(canceled))
    short = await entries(hand)
    report = (await hand.stack.api.get("/v1/usage")).json()
    await rewrite_ledger(hand)
    await hand.redis.delete(*await hand.redis.keys(f"{keys.USAGE_COUNTED}*"))
    assert await entries(hand) == short
    assert (await hand.stack.api.get("/v1/usage")).json()["total"] == report["total"]
    assert await hand.store.end(await hand.job(queued), (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE)
    await hand.ended()
    assert [entry.type for entry in await entries(hand)] == [one.type for one in short] + [
        "release",
        "reserve",
        "settle",
    ]
    assert (await hand.gateway.ledger.verify()).differences == []


async def test_a_settlement_names_its_reservation_on_another_page(hand: Hand) -> None:
    """Read from the newest, one at a time. One whose reservation is gone is a difference."""
    await hand.ended()
    reserve, settle = await entries(hand)
    assert (settle.job, settle.user, settle.periods) == (reserve.job, reserve.user, reserve.periods)
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
    assert await hand.store.has_request(job.upstream_request_id or "") == hand.ref(job.id)
    await hand.gateway.ledger.correct_job("test", hand.team, job.id, actual=0, reason="x")
    assert (await hand.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert (await hand.job(job.id)).erased
