"""Every end has its money, and both ledgers agree."""

import asyncio

import pytest

from app.domain.jobs import Charge, Money, Status
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.lane import decide_disputes

pytestmark = pytest.mark.anyio
PRICE = 1_400_000


async def charges(pipeline: Pipeline, upstream_request_id: str | None) -> list[int]:
    """The emulator's charge for a request."""
    ledger = await pipeline.stack.emulator.ledger()
    return [one["cost_micro"] for one in ledger["charges"] if one["request_id"] == upstream_request_id]


async def test_a_success_is_spent_at_the_quoted_price(pipeline: Pipeline) -> None:
    """Reserved at admission, settled at the end, once, on both sides."""
    job = await pipeline.ended()
    assert (job.status, job.money, job.charged_micro) == (Status.SUCCEEDED, Money.SPENT, PRICE)
    assert await pipeline.entries(job.id) == ["reserve", "settle"]
    assert await pipeline.money() == (0, PRICE)
    assert await charges(pipeline, job.upstream_request_id) == [PRICE]


@pytest.mark.parametrize("tag", ["result_no_url", "result_expired", "result_foreign_url", "result_huge"])
async def test_a_clip_that_fal_made_and_that_cannot_be_shown_is_spent(pipeline: Pipeline, tag: str) -> None:
    """The job fails, and fal's charge is passed on."""
    job = await pipeline.ended(f"[emu:{tag}]")
    assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.SPENT, PRICE)
    assert await pipeline.money() == (0, PRICE)
    assert await charges(pipeline, job.upstream_request_id) == [PRICE]


@pytest.mark.parametrize("tag", ["500_downstream", "503_runner_disconnected", "504_request_timeout"])
async def test_a_failure_on_fals_side_is_released(pipeline: Pipeline, tag: str) -> None:
    """Fal charges nothing for 500 and above, and neither does the gateway."""
    job = await pipeline.ended(f"[emu:{tag}]")
    assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.RELEASED, 0)
    assert await pipeline.entries(job.id) == ["reserve", "release"]
    assert await pipeline.money() == (0, 0)
    assert await charges(pipeline, job.upstream_request_id) == []


@pytest.mark.parametrize(("answer", "money"), [("settle", (0, PRICE)), ("release", (0, 0))])
async def test_a_dispute_keeps_its_money_for_a_day_and_is_then_decided(
    store: RedisServer, emulator: Emulator, answer: str, money: tuple[int, int]
) -> None:
    """A runner's 422 may have been charged: kept; after 24 h the operator's setting decides, once."""
    async with open_stack(store, emulator, FILMGATE_UNPROVEN_CHARGE=answer) as stack:
        pipeline = Pipeline(stack)
        job = await pipeline.ended("[emu:422_content_policy]")
        assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.DISPUTED, None)
        assert await pipeline.money() == (PRICE, 0)
        ref = pipeline.ref(job.id)
        due_ms = await pipeline.redis.zscore(keys.due("dispute"), ref)
        assert due_ms == pytest.approx(await stack.gateway.stores.clock.now_ms() + DAY_MS, abs=10_000)
        await decide_disputes(stack.gateway)
        assert (await pipeline.job(job.id)).money is Money.DISPUTED
        await pipeline.make_due("dispute", ref)
        await asyncio.gather(*(decide_disputes(stack.gateway) for _ in range(4)))
        assert await pipeline.money() == money
        decided = await pipeline.job(job.id)
        assert decided.charged_micro == money[1]
        assert await pipeline.entries(job.id) == ["reserve", "dispute", "settle" if money[1] else "release"]
        assert await pipeline.due("dispute") == []
        assert not await stack.gateway.stores.ledger.decide_dispute(ref, spend=True)


async def test_a_job_cancelled_in_the_line_is_free(pipeline: Pipeline) -> None:
    """It ends at once, without a call to fal, and a second cancel is refused because it has ended."""
    before = await pipeline.posts()
    job_id = await pipeline.admit()
    reply = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["status"], reply.json()["charged_usd"]) == (202, "canceled", "0.00")
    again = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_ended")
    assert len(await pipeline.gateway.stores.slots.grant()) == 0
    assert await pipeline.money() == (0, 0)
    assert await pipeline.posts() == before


async def test_a_job_cancelled_with_its_slot_granted_is_free_and_gives_it_back(pipeline: Pipeline) -> None:
    """Between the grant and the claim nothing is bought yet."""
    before = await pipeline.posts()
    job_id = await pipeline.grant()
    await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    job = await pipeline.submit(job_id)
    assert (job.status, job.money) == (Status.CANCELED, Money.RELEASED)
    assert await pipeline.slot(job_id) is None
    assert await pipeline.posts() == before


async def test_a_running_job_that_fal_cancels_is_disputed(pipeline: Pipeline) -> None:
    """Fal is asked, its answer decides the state, and whether it charged is unknown."""
    job = await pipeline.bought("[emu:slow]")
    reply = await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    assert reply.json()["cancel_requested_at"] is not None
    assert (
        await pipeline.redis.zscore(keys.due("poll"), pipeline.ref(job.id))
        <= await pipeline.gateway.stores.clock.now_ms()
    )
    ended = await pipeline.finalized((await pipeline.completed(job.id)).id)
    assert (ended.status, ended.money) == (Status.CANCELED, Money.DISPUTED)
    assert ended.error is not None
    assert ended.error.code == "canceled"
    assert await pipeline.money() == (PRICE, 0)


async def test_a_cancel_that_fal_ignores_ends_as_a_success_that_is_charged(pipeline: Pipeline) -> None:
    """Fal's 202 promises nothing: the clip is made, shown and charged."""
    async with pipeline.stack.emulator.paused():
        job = await pipeline.bought("[emu:cancel_ignored]")
        reply = await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
        assert reply.status_code == 202
        assert await pipeline.poll(job.id) is not None  # this poll asks fal to cancel
    ended = await pipeline.finalized((await pipeline.completed(job.id)).id)
    assert (ended.status, ended.money, ended.charged_micro) == (Status.SUCCEEDED, Money.SPENT, PRICE)
    assert ended.cancel_requested_ms is not None
    assert (await pipeline.stack.emulator.request(ended.upstream_request_id or ""))["cancelled"] is True


async def test_settling_twice_at_once_moves_the_money_once(pipeline: Pipeline) -> None:
    """Eight workers finalize one job: one settlement, one event, no error."""
    job = await pipeline.bought()
    completed = await pipeline.completed(job.id)
    done = await asyncio.gather(
        *(
            pipeline.store.end(completed, (Status.FINALIZING,), Status.SUCCEEDED, charge=Charge.SPEND)
            for _ in range(8)
        )
    )
    assert sorted(done) == [False] * 7 + [True]
    assert await pipeline.entries(job.id) == ["reserve", "settle"]
    assert await pipeline.money() == (0, PRICE)
