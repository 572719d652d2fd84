"""Every end names its money, and both books agree."""

import asyncio

import pytest

from app.domain.jobs import Charge, Money, Status
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.hand import DAY_MS, Hand
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.lane import decide_disputes

pytestmark = pytest.mark.anyio
PRICE = 1_400_000


async def charges(hand: Hand, upstream_request_id: str | None) -> list[int]:
    """What the emulator charged for a request."""
    books = await hand.stack.emulator.ledger()
    return [one["cost_micro"] for one in books["charges"] if one["request_id"] == upstream_request_id]


async def test_a_success_is_spent_at_the_quoted_price(hand: Hand) -> None:
    """Reserved at admission, settled at the end, once, on both sides."""
    job = await hand.ended()
    assert (job.status, job.money, job.charged_micro) == (Status.SUCCEEDED, Money.SPENT, PRICE)
    assert await hand.entries(job.id) == ["reserve", "settle"]
    assert await hand.money() == (0, PRICE)
    assert await charges(hand, job.upstream_request_id) == [PRICE]


@pytest.mark.parametrize("tag", ["result_no_url", "result_expired", "result_foreign_url", "result_huge"])
async def test_a_clip_that_fal_made_and_nobody_can_show_is_spent(hand: Hand, tag: str) -> None:
    """The job fails, and fal's charge is passed on."""
    job = await hand.ended(f"[emu:{tag}]")
    assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.SPENT, PRICE)
    assert await hand.money() == (0, PRICE)
    assert await charges(hand, job.upstream_request_id) == [PRICE]


@pytest.mark.parametrize("tag", ["500_downstream", "503_runner_disconnected", "504_request_timeout"])
async def test_a_failure_on_fals_side_is_released(hand: Hand, tag: str) -> None:
    """Fal charges nothing from 500 up, and neither does the gateway."""
    job = await hand.ended(f"[emu:{tag}]")
    assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.RELEASED, 0)
    assert await hand.entries(job.id) == ["reserve", "release"]
    assert await hand.money() == (0, 0)
    assert await charges(hand, job.upstream_request_id) == []


@pytest.mark.parametrize(("answer", "money"), [("settle", (0, PRICE)), ("release", (0, 0))])
async def test_a_dispute_keeps_its_money_for_a_day_and_is_then_decided(
    store: RedisServer, emulator: Emulator, answer: str, money: tuple[int, int]
) -> None:
    """A runner's 422 may have been charged: kept, and after 24 h the operator's setting decides, once."""
    async with open_stack(store, emulator, FILMGATE_UNPROVEN_CHARGE=answer) as stack:
        hand = Hand(stack)
        job = await hand.ended("[emu:422_content_policy]")
        assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.DISPUTED, None)
        assert await hand.money() == (PRICE, 0)
        ref = hand.ref(job.id)
        due_ms = await hand.redis.zscore(keys.due("dispute"), ref)
        assert due_ms == pytest.approx(await stack.gateway.stores.clock.now_ms() + DAY_MS, abs=10_000)
        await decide_disputes(stack.gateway)
        assert (await hand.job(job.id)).money is Money.DISPUTED
        await hand.make_due("dispute", ref)
        await asyncio.gather(*(decide_disputes(stack.gateway) for _ in range(4)))
        assert await hand.money() == money
        decided = await hand.job(job.id)
        assert decided.charged_micro == money[1]
        assert await hand.entries(job.id) == ["reserve", "dispute", "settle" if money[1] else "release"]
        assert await hand.due("dispute") == []
        assert not await stack.gateway.stores.ledger.decide_dispute(ref, spend=True)


async def test_a_job_cancelled_in_the_line_is_free(hand: Hand) -> None:
    """It ends at once, fal never hears of it, and a second cancel is told that it has ended."""
    before = await hand.posts()
    job_id = await hand.admit()
    reply = await hand.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["status"], reply.json()["charged_usd"]) == (202, "canceled", "0.00")
    again = await hand.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_ended")
    assert await hand.gateway.stores.slots.grant() == 0
    assert await hand.money() == (0, 0)
    assert await hand.posts() == before


async def test_a_job_cancelled_with_its_slot_granted_is_free_and_gives_it_back(hand: Hand) -> None:
    """Between the grant and the claim nothing was bought yet."""
    before = await hand.posts()
    job_id = await hand.grant()
    await hand.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    job = await hand.submit(job_id)
    assert (job.status, job.money) == (Status.CANCELED, Money.RELEASED)
    assert await hand.slot(job_id) is None
    assert await hand.posts() == before


async def test_a_running_job_that_fal_cancels_is_disputed(hand: Hand) -> None:
    """Fal is asked, its truth decides the state, and whether it charged is not known."""
    job = await hand.bought("[emu:slow]")
    reply = await hand.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    assert reply.json()["cancel_requested_at"] is not None
    assert await hand.redis.zscore(keys.due("poll"), hand.ref(job.id)) <= await hand.gateway.stores.clock.now_ms()
    ended = await hand.finalized((await hand.completed(job.id)).id)
    assert (ended.status, ended.money) == (Status.CANCELED, Money.DISPUTED)
    assert ended.error is not None
    assert ended.error.code == "canceled"
    assert await hand.money() == (PRICE, 0)


async def test_a_cancel_that_fal_ignores_ends_as_a_success_that_is_charged(hand: Hand) -> None:
    """202 at fal promises nothing: the clip is made, shown and paid."""
    async with hand.stack.emulator.paused():
        job = await hand.bought("[emu:cancel_ignored]")
        reply = await hand.stack.api.post(f"/v1/jobs/{job.id}/cancel")
        assert reply.status_code == 202
        assert await hand.poll(job.id) is not None  # which asks fal to cancel
    ended = await hand.finalized((await hand.completed(job.id)).id)
    assert (ended.status, ended.money, ended.charged_micro) == (Status.SUCCEEDED, Money.SPENT, PRICE)
    assert ended.cancel_requested_ms is not None
    assert (await hand.stack.emulator.request(ended.upstream_request_id or ""))["cancelled"] is True


async def test_settling_twice_at_once_moves_the_money_once(hand: Hand) -> None:
    """Eight workers finalize one job: one settlement, one event, no error."""
    job = await hand.bought()
    completed = await hand.completed(job.id)
    done = await asyncio.gather(
        *(hand.store.end(completed, (Status.FINALIZING,), Status.SUCCEEDED, charge=Charge.SPEND) for _ in range(8))
    )
    assert sorted(done) == [False] * 7 + [True]
    assert await hand.entries(job.id) == ["reserve", "settle"]
    assert await hand.money() == (0, PRICE)
