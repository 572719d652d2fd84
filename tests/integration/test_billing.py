"""fal's bill against ours: differences become entries and alarms; without an answer nothing changes."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.jobs import Job, Money
from app.domain.ledger import Correction
from app.domain.limits import GATEWAY
from app.fal.billing import MAX_IDS_PER_BILL, Bill
from app.fal.errors import UnusableAnswer
from app.store import keys
from app.store.jobs import BILLING_MS
from app.store.lanes import LEASE_MS
from tests.integration.held_jobs import pipeline_on
from tests.integration.refusals import store_digests
from tests.support.checks import ledger_faults
from tests.support.emulator import Emulator
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from workers.billing import PAUSES_MS, billing_task, next_check_ms, reconcile
from workers.lane import decide_disputes

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
ADMIN_KEY = "admin-key-of-the-tests"
MINUTE_MS = 60_000


@pytest.fixture
async def pipeline(store: RedisServer, historian: Emulator) -> AsyncIterator[Pipeline]:
    """The pipeline, and a fal whose bill is reset afterwards."""
    async with pipeline_on(store, historian) as made:
        yield made


async def reconciled(pipeline: Pipeline, *jobs: Job) -> list[dict[str, Any]]:
    """Compare the bill once, with these jobs due; what was logged."""
    for job in jobs:
        await pipeline.make_due("billing", pipeline.ref(job.id))
    with capture_logs() as lines:
        await reconcile(pipeline.gateway)
    return [dict(line) for line in lines]


async def due_in_ms(pipeline: Pipeline, job: Job) -> float | None:
    """The time until the job is compared with the bill; None when it is not scheduled."""
    score: float | None = await pipeline.redis.zscore(keys.due("billing"), pipeline.ref(job.id))
    return None if score is None else score - await pipeline.gateway.stores.clock.now_ms()


async def aged(pipeline: Pipeline, job: Job, age_ms: int) -> None:
    """Move the job's end this far into the past."""
    await pipeline.write(job.id, completed_ms=await pipeline.gateway.stores.clock.now_ms() - age_ms)


async def used(pipeline: Pipeline) -> list[int]:
    """Micro-dollars used by the gateway, the team and the user, in total and in the calendar month."""
    owners = [GATEWAY, pipeline.team, pipeline.stack.account.user.id]
    found = [await pipeline.redis.hget(keys.total(owner), "used:usd") for owner in owners]
    months = [name async for name in pipeline.redis.scan_iter(match=f"{keys.PREFIX}period:month:*")]
    found += [await pipeline.redis.hget(name, "used:usd") for name in months]
    assert len(found) == 6
    return [int(amount or 0) for amount in found]


async def amounts(pipeline: Pipeline, job: Job) -> list[tuple[str, int]]:
    """The job's entries in the ledger."""
    return [
        (one.type, one.amount)
        for one in await pipeline.gateway.stores.ledger.entries(pipeline.team)
        if one.job == job.id
    ]


def events(lines: Sequence[dict[str, Any]], level: str = "error") -> list[str]:
    """The names of the events logged at this level."""
    return [line["event"] for line in lines if line["log_level"] == level]


async def test_the_same_amount_changes_nothing(pipeline: Pipeline) -> None:
    """A minute after its end the job is compared once, and never again."""
    job = await pipeline.ended()
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert BILLING_MS - 10_000 < due <= BILLING_MS
    before = await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id)))
    assert events(await reconciled(pipeline, job)) == []
    assert await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id))) == before
    assert await amounts(pipeline, job) == [("reserve", PRICE), ("settle", PRICE)]
    assert await pipeline.due("billing") == []


@pytest.mark.parametrize("billed", [1_500_000, 900_001, 0])
async def test_another_amount_becomes_a_correction_and_an_alarm(pipeline: Pipeline, billed: int) -> None:
    """The exact difference: in the job, in every sum, in the ledger and in the log; and only once."""
    other = await pipeline.ended()
    job = await pipeline.ended(f"[emu:bill:{billed}][emu:bill_split]")
    assert await used(pipeline) == [2 * PRICE] * 6
    lines = await reconciled(pipeline, job, other)
    (alarm,) = [line for line in lines if line["log_level"] == "error"]
    dollars = {1_500_000: "1.50", 900_001: "0.900001", 0: "0.00"}[billed]
    assert (alarm["event"], alarm["job"]) == ("billing.differs", job.id)
    assert (alarm["quoted"], alarm["billed"], alarm["billable_units"]) == ("1.40", dollars, "5")
    (raised,) = await pipeline.gateway.stores.alarms.newest(5)
    assert (raised.kind, raised.job, dollars in raised.message) == ("bill_differs", job.id, True)
    shown = await pipeline.stack.job(job.id)
    assert (shown["quoted_usd"], shown["charged_usd"]) == ("1.40", dollars)
    assert await amounts(pipeline, job) == [("reserve", PRICE), ("settle", PRICE), ("correction", billed - PRICE)]
    assert await used(pipeline) == [PRICE + billed] * 6
    assert await pipeline.due("billing") == []
    assert (await pipeline.job(job.id)).money is (Money.SPENT if billed else Money.RELEASED)


@pytest.mark.parametrize(
    ("tag", "entries", "money"),
    [
        ("[emu:422_content_policy]", [("settle", PRICE)], Money.SPENT),
        ("[emu:422_image_load][emu:bill:0]", [("release", PRICE)], Money.RELEASED),
        (
            "[emu:422_image_load][emu:bill:200000]",
            [("settle", PRICE), ("correction", 200_000 - PRICE)],
            Money.SPENT,
        ),
    ],
)
async def test_an_event_ends_a_dispute(
    pipeline: Pipeline, tag: str, entries: list[tuple[str, int]], money: Money
) -> None:
    """The cost is what fal billed, without waiting for a day. Only a difference is an alarm."""
    job = await pipeline.ended(tag)
    assert job.money is Money.DISPUTED
    lines = await reconciled(pipeline, job)
    assert events(lines) == (["billing.differs"] if len(entries) > 1 else [])
    assert await amounts(pipeline, job) == [("reserve", PRICE), ("dispute", PRICE), *entries]
    decided = await pipeline.job(job.id)
    assert (decided.money, decided.charged_micro) == (
        money,
        sum(amount for kind, amount in entries if kind != "release"),
    )
    assert await pipeline.due("dispute") == await pipeline.due("billing") == []


@pytest.mark.parametrize("verb", ["settle", "release"])
async def test_without_an_event_a_dispute_is_decided_by_the_setting(
    store: RedisServer, historian: Emulator, verb: str
) -> None:
    """The bill is read until a day after the end, without an event; then the setting decides."""
    async with pipeline_on(store, historian, FILMGATE_UNPROVEN_CHARGE=verb) as pipeline:
        job = await pipeline.ended("[emu:422_image_load]")
        assert await reconciled(pipeline, job) == []
        assert (await pipeline.job(job.id)).money is Money.DISPUTED
        await aged(pipeline, job, DAY_MS)
        await pipeline.make_due("dispute", pipeline.ref(job.id))
        await decide_disputes(pipeline.gateway)
        lines = await reconciled(pipeline, job)
        assert events(lines, "warning") == (["billing.missing"] if verb == "settle" else [])
        assert await amounts(pipeline, job) == [("reserve", PRICE), ("dispute", PRICE), (verb, PRICE)]
        assert await pipeline.due("billing") == []


async def test_a_charge_for_what_was_released_is_counted(pipeline: Pipeline) -> None:
    """Fal says it never charges its own errors; if its bill does, our ledger follows, with an alarm."""
    job = await pipeline.ended("[emu:500_downstream][emu:bill:300000]")
    assert (job.money, job.charged_micro) == (Money.RELEASED, 0)
    assert events(await reconciled(pipeline, job)) == ["billing.differs"]
    after = await pipeline.job(job.id)
    assert (after.money, after.charged_micro) == (Money.SPENT, 300_000)
    assert await amounts(pipeline, job) == [("reserve", PRICE), ("release", PRICE), ("correction", 300_000)]
    assert await used(pipeline) == [300_000] * 6


@pytest.mark.parametrize("tag", ["", "[emu:422_content_policy]"])
async def test_what_a_person_has_said_outlives_fals_bill(pipeline: Pipeline, tag: str) -> None:
    """An administrator's correction is not undone, not even by a comparison that had begun before it."""
    job, ledger = await pipeline.ended(tag), pipeline.gateway.ledger
    await ledger.correct_job("test", pipeline.team, job.id, actual=700_000, reason="fal gave half back")
    assert await pipeline.due("billing") == []
    late = await pipeline.gateway.stores.ledger.correct(job, actual=PRICE, reason="x", by="bill")
    assert late == (Correction.SAME, 0)
    assert (await pipeline.job(job.id)).charged_micro == 700_000
    assert await used(pipeline) == [700_000] * 6


async def test_a_late_event_is_waited_for(pipeline: Pipeline, historian: Emulator) -> None:
    """Nothing changes, and the job is compared again; once the event exists, it counts."""
    job = await pipeline.ended("[emu:bill:1000000]")
    await historian.trouble_platform(lag_seconds=3600)
    before = await store_digests(pipeline.stack)
    assert await reconciled(pipeline, job) == []
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert MINUTE_MS - 10_000 < due <= MINUTE_MS
    assert {name for name, value in (await store_digests(pipeline.stack)).items() if before.get(name) != value} == {
        keys.due("billing")
    }
    await aged(pipeline, job, 600_000)
    await reconciled(pipeline, job)
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert due > 4 * MINUTE_MS
    await historian.trouble_platform()
    assert events(await reconciled(pipeline, job)) == ["billing.differs"]
    assert (await pipeline.job(job.id)).charged_micro == 1_000_000


async def test_pauses_grow_until_a_day_after_the_end(pipeline: Pipeline) -> None:
    """From a minute to six hours, about ten reads, the last one exactly a day later."""
    job = await pipeline.ended()
    end_ms = job.completed_ms or 0
    times = [end_ms + BILLING_MS]
    while times[-1] < end_ms + DAY_MS:
        times.append(next_check_ms(job, times[-1]))
    pauses = [after - before for before, after in pairwise(times[:-1])]
    assert times[-1] == end_ms + DAY_MS
    assert pauses == sorted(pauses)
    assert set(pauses) == set(PAUSES_MS)
    assert len(times) <= 15
    assert events(await reconciled(pipeline, job)) == []


async def test_after_a_day_without_an_event_a_spent_job_is_a_warning(
    pipeline: Pipeline, historian: Emulator
) -> None:
    """Given up, with a warning where money was spent; a released job is dropped silently."""
    spent, released = await pipeline.ended(), await pipeline.ended("[emu:500_downstream]")
    await historian.trouble_platform(lag_seconds=3600)
    for job in (spent, released):
        await aged(pipeline, job, DAY_MS + 1000)
    lines = await reconciled(pipeline, spent, released)
    assert [(line["event"], line["job"]) for line in lines] == [("billing.missing", spent.id)]
    assert await pipeline.due("billing") == []
    assert (await pipeline.job(spent.id)).charged_micro == PRICE


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"status": 403}, "http_403"),
        ({"status": 500}, "http_500"),
        ({"status": 302}, "http_302"),
        ({"body": "<html>502</html>"}, "unreadable"),
        ({"body": '{"billing_events": [{"request_id": 1}], "has_more": true}'}, "unreadable"),
        ({"body": "x" * 1_100_000}, "too_large"),
        ({"delay_seconds": 20}, "no_answer"),
    ],
)
async def test_no_usable_answer_changes_nothing(
    pipeline: Pipeline, historian: Emulator, trouble: dict[str, Any], reason: str
) -> None:
    """One warning however often it fails; the job becomes due again, and is compared once fal answers."""
    job = await pipeline.ended("[emu:bill:1000000]")
    await historian.trouble_platform(**trouble)
    reconciler = billing_task(pipeline.gateway)
    before = await store_digests(pipeline.stack)
    with capture_logs() as lines:
        for _ in range(1 if "delay_seconds" in trouble else 2):
            await pipeline.make_due("billing", pipeline.ref(job.id))
            await reconciler.run()
    assert [(line["event"], line["log_level"], line["reason"]) for line in lines if "reason" in line] == [
        ("billing.away", "warning", reason)
    ]
    assert not reconciler.is_due()
    after = await store_digests(pipeline.stack)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {keys.due("billing")}
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert 0 < due <= MINUTE_MS
    await historian.trouble_platform()
    assert events(await reconciled(pipeline, job)) == ["billing.differs"]


async def test_a_key_that_is_no_admin_key_reads_nothing(store: RedisServer, historian: Emulator) -> None:
    """Fal answers 403, which is logged once; the money stays as settled."""
    async with pipeline_on(store, historian, FAL_ADMIN_KEY="only-an-api-key") as pipeline:
        job = await pipeline.ended("[emu:bill:1000000]")
        await pipeline.make_due("billing", pipeline.ref(job.id))
        assert await reconcile(pipeline.gateway) == UnusableAnswer("http_403")
        assert (await pipeline.job(job.id)).charged_micro == PRICE


async def test_without_an_admin_key_nothing_is_compared(store: RedisServer, historian: Emulator) -> None:
    """Nothing becomes due, and fal is never asked."""
    async with pipeline_on(store, historian, FAL_ADMIN_KEY="") as pipeline:
        await pipeline.ended()
        assert await pipeline.due("billing") == []
        assert not billing_task(pipeline.gateway).is_due()


async def test_a_job_whose_record_is_gone_is_forgotten(pipeline: Pipeline) -> None:
    """Its retention has passed; fal is not asked about it."""
    job = await pipeline.ended("[emu:bill:1000000]")
    await pipeline.redis.delete(keys.job(pipeline.ref(job.id)))
    assert await reconciled(pipeline, job) == []
    assert await pipeline.due("billing") == []


async def test_more_than_one_call_can_hold_is_compared_at_once(pipeline: Pipeline) -> None:
    """Fifty are read in one call; the others do not wait for the next tick in 15 s."""
    job = await pipeline.ended("[emu:bill:1000000]")
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    others = {pipeline.ref(f"job_gone_{number}"): now_ms - 1000 for number in range(MAX_IDS_PER_BILL)}
    await pipeline.redis.zadd(keys.due("billing"), others)
    first = await pipeline.ended("[emu:bill:1000000]")
    await pipeline.redis.zadd(keys.due("billing"), {pipeline.ref(first.id): now_ms - 2000})
    await pipeline.make_due("billing", pipeline.ref(job.id))
    reconciler = billing_task(pipeline.gateway)
    await reconciler.run()
    assert await pipeline.entries(first.id) == ["reserve", "settle", "correction"]
    assert reconciler.is_due()
    await reconciler.run()
    assert not reconciler.is_due()
    idle = billing_task(pipeline.gateway)
    await idle.run()
    assert idle.is_due(), "nothing was due, and fal was not asked"
    assert await pipeline.entries(job.id) == ["reserve", "settle", "correction"]
    assert await pipeline.due("billing") == []


async def test_a_bill_has_pages(pipeline: Pipeline, historian: Emulator) -> None:
    """All pages count; a cursor that does not move, or more pages than possible, is no answer."""
    jobs = [await pipeline.ended("[emu:bill_split]") for _ in range(3)]
    ids = [job.upstream_request_id or "" for job in jobs]
    span = {"start_ms": (jobs[0].created_ms or 0) - MINUTE_MS, "end_ms": (jobs[-1].created_ms or 0) + MINUTE_MS}
    fal = pipeline.gateway.fal
    whole = Bill(dict.fromkeys(ids, PRICE))
    assert await fal.bill(ids, **span) == whole
    assert await fal.bill(ids, **span, page_size=1) == whole
    assert await fal.bill(ids[:1], **span) == Bill({ids[0]: PRICE})
    assert await fal.bill(["nobody-knows-it"], **span) == Bill({})
    await historian.trouble_platform(same_cursor=True)
    assert await fal.bill(ids, **span, page_size=1) == UnusableAnswer("unreadable")
    await historian.trouble_platform()
    more = [await pipeline.ended("[emu:bill_split]") for _ in range(3)]
    ids += [job.upstream_request_id or "" for job in more]
    span["end_ms"] += 10 * MINUTE_MS
    assert await fal.bill(ids, **span, page_size=1) == UnusableAnswer("too_long")


async def test_the_ledger_of_a_mixed_day_matches_fals_bill(store: RedisServer, historian: Emulator) -> None:
    """Invariant B9: after successes, failures, refusals, cancels and surprises we have spent what fal billed."""
    kinds = [
        *["", "", "", "", "[emu:500_downstream]", "[emu:503_runner_disconnected]", "[emu:504_request_timeout]"],
        *["[emu:422_content_policy]", "[emu:422_content_policy]", "[emu:422_image_load]", "[emu:422_one_of]"],
        *["[emu:slow]", "[emu:slow][emu:bill:500000]", "[emu:cancel_ignored]", "[emu:result_no_url]"],
        *["[emu:bill:1399999]", "[emu:bill:2800000]", "[emu:500_downstream][emu:bill:70000]", "[emu:bill_split]"],
        "[emu:422_one_of][emu:bill:1]",
    ]
    assert len(kinds) == 20
    async with pipeline_on(store, historian, FILMGATE_UNPROVEN_CHARGE="release") as pipeline:
        jobs = []
        for kind in kinds:
            job = await pipeline.bought(kind)
            if "slow" in kind or "cancel_ignored" in kind:
                await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
            await pipeline.completed(job.id)
            jobs.append(await pipeline.finalized(job.id))
        await reconciled(pipeline, *jobs)
        assert await ledger_faults(pipeline.redis) == []
        for job in jobs:
            await pipeline.make_due("dispute", pipeline.ref(job.id))
        await decide_disputes(pipeline.gateway)
        ids = {job.upstream_request_id for job in jobs}
        charges = [one for one in (await historian.ledger())["charges"] if one["request_id"] in ids]
        billed = sum(one["cost_micro"] for one in charges)
        assert await pipeline.money() == (0, billed)
        assert await used(pipeline) == [billed] * 6
        by_id = {one["request_id"]: one["cost_micro"] for one in charges}
        for job in jobs:
            after = await pipeline.job(job.id)
            assert after.charged_micro == by_id.get(job.upstream_request_id or "", 0), job.error


async def test_a_lane_compares_by_itself_and_never_waits_for_the_bill(
    pipeline: Pipeline, historian: Emulator
) -> None:
    """While fal takes longer over the bill than a lane's lease lasts, the slice goes on and keeps its lane."""
    job = await pipeline.ended("[emu:bill:1000000]")
    late_s = LEASE_MS / 1000 + 0.5
    await historian.trouble_platform(delay_seconds=late_s)
    async with pipeline.stack.workers():
        await pipeline.make_due("billing", pipeline.ref(job.id))

        async def taken() -> bool:
            due = await due_in_ms(pipeline, job)
            return due is not None and due > 0

        await wait_until(taken, "the lane has asked for the bill", timeout=30)
        slice_that_asked = await pipeline.redis.get(keys.lane(0))

        async def corrected() -> bool:
            return "correction" in await pipeline.entries(job.id)

        await wait_until(corrected, "the lane has compared the job", timeout=30)
        assert await pipeline.redis.get(keys.lane(0)) == slice_that_asked
    assert (await pipeline.job(job.id)).charged_micro == 1_000_000
