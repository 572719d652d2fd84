"""Changes of state: compare, then set; stale steps are refused, and an operator ends what is held."""

import asyncio
from typing import Any

import pytest

from app.domain.errors import Conflict, NotFound, Unprocessable
from app.domain.jobs import Charge, Job, Money, Status
from app.store import keys
from app.store.jobs import HELD_SLOT_MS
from tests.support.hand import DAY_MS, Hand

pytestmark = pytest.mark.anyio
PRICE = 1_400_000


async def claimed(hand: Hand) -> tuple[Job, str]:
    """A job in submission, and its attempt's nonce."""
    job_id = await hand.grant()
    nonce = await hand.store.claim(await hand.job(job_id))
    assert nonce is not None
    return await hand.job(job_id), nonce


async def held(hand: Hand) -> Job:
    """A job whose submission has an unknown outcome."""
    job, nonce = await claimed(hand)
    assert await hand.store.hold(job, nonce=nonce, reason="no_answer_in_time")
    return await hand.job(job.id)


async def picture(hand: Hand, job_id: str) -> list[Any]:
    """Everything a change of state may touch."""
    ref = hand.ref(job_id)
    record = await hand.redis.hgetall(keys.job(ref))
    places = [keys.LINE, keys.LATER, keys.SLOTS, keys.HELD, *(keys.due(step) for step in keys.STEPS)]
    scores = [await hand.redis.zscore(place, ref) for place in places]
    return [record, scores, await hand.money(), await hand.redis.xlen(keys.events(hand.team))]


async def test_a_stale_nonce_changes_nothing(hand: Hand) -> None:
    """A worker that slept through another attempt cannot adopt, hold, requeue or end the job."""
    first, old = await claimed(hand)
    await hand.store.requeue(first, nonce=old, wait_ms=0)
    await hand.gateway.stores.slots.grant()
    new = await hand.store.claim(await hand.job(first.id))
    assert new not in {None, old}
    before = await picture(hand, first.id)
    assert not await hand.store.adopt(first, nonce=old, upstream_request_id="late", poll_ms=0)
    assert not await hand.store.hold(first, nonce=old, reason="late")
    assert not await hand.store.requeue(first, nonce=old, wait_ms=0)
    assert not await hand.store.end(first, (Status.SUBMITTING,), Status.FAILED, charge=Charge.RELEASE, nonce=old)
    assert await picture(hand, first.id) == before


async def test_of_ten_ways_out_one_is_taken(hand: Hand) -> None:
    """Adopt, hold and requeue race: exactly one wins, and the job is whole afterwards."""
    job, nonce = await claimed(hand)
    done = await asyncio.gather(
        *(hand.store.adopt(job, nonce=nonce, upstream_request_id=f"id-{n}", poll_ms=0) for n in range(4)),
        *(hand.store.requeue(job, nonce=nonce, wait_ms=0) for _ in range(4)),
        *(hand.store.end(job, (Status.SUBMITTING,), Status.FAILED, charge=Charge.RELEASE) for _ in range(2)),
    )
    assert sum(done) == 1


async def test_an_end_is_final(hand: Hand) -> None:
    """No step, late or repeated, moves an ended job or its money."""
    job = await hand.ended()
    before = await picture(hand, job.id)
    nonce = job.nonce or ""
    assert await hand.store.claim(job) is None
    assert not await hand.store.adopt(job, nonce=nonce, upstream_request_id="x", poll_ms=0)
    assert not await hand.store.hold(job, nonce=nonce, reason="late")
    assert not await hand.store.requeue(job, nonce=nonce, wait_ms=0)
    assert not await hand.store.complete_upstream(job, upstream_status="COMPLETED", logs=[])
    for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED):
        assert not await hand.store.end(job, (Status.FINALIZING,), status, charge=Charge.RELEASE)
    assert await picture(hand, job.id) == before


async def test_a_claim_without_a_slot_is_refused(hand: Hand) -> None:
    """A doorbell rung before the slot was taken back must not buy beyond fal's concurrency."""
    job_id = await hand.admit()
    assert await hand.store.claim(await hand.job(job_id)) is None
    assert (await hand.job(job_id)).attempt == 0


async def test_an_ended_record_expires_and_a_live_one_does_not(hand: Hand) -> None:
    """Retention starts at the end; a held job stays for ever."""
    kept = await held(hand)
    assert await hand.redis.ttl(keys.job(hand.ref(kept.id))) == -1
    ended = await hand.ended()
    assert 29 * DAY_MS < await hand.redis.pttl(keys.job(hand.ref(ended.id))) <= 30 * DAY_MS


async def test_every_change_writes_its_event_in_order(hand: Hand) -> None:
    """One event each, with a sequence that counts up, and no input and no nonce in it."""
    job = await hand.ended()
    events = await hand.job_events()
    assert [event.type for event in events] == [
        "job.queued",
        "job.submitting",
        "job.running",
        "job.finalizing",
        "job.succeeded",
    ]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert {event.job.id for event in events} == {job.id}
    assert not any(event.job.input or event.job.nonce for event in events)


async def test_a_change_wakes_a_lane(hand: Hand) -> None:
    """A waiting lane need not look at the clock."""
    await hand.redis.delete(keys.WAKE)
    assert not await hand.gateway.stores.due.wait_for_wake(seconds=0.05)
    await hand.admit()
    assert await hand.gateway.stores.due.wait_for_wake(seconds=1)


# --- held, and its three ways out --------------------------------------------------------------------------------


async def test_a_held_job_keeps_money_and_place_and_its_slot_for_ten_minutes(hand: Hand) -> None:
    """Then the slot serves others, and the job stays held."""
    job = await held(hand)
    assert await hand.money() == (PRICE, 0)
    assert await hand.store.held() == [hand.ref(job.id)]
    now_ms = await hand.gateway.stores.clock.now_ms()
    assert await hand.slot(job.id) == pytest.approx(now_ms + HELD_SLOT_MS, abs=5000)
    await hand.gateway.stores.slots.grant()
    assert await hand.slot(job.id) is not None
    await hand.redis.zadd(keys.SLOTS, {hand.ref(job.id): 1})
    await hand.gateway.stores.slots.grant()
    assert await hand.slot(job.id) is None
    assert (await hand.job(job.id)).status is Status.HELD
    assert await hand.store.held() == [hand.ref(job.id)]
    assert await hand.money() == (PRICE, 0)
    assert await hand.redis.zcard(keys.LINE) == 0


async def test_a_held_job_has_no_deadline(hand: Hand) -> None:
    """Whether it was bought is not known, so it cannot end by the clock."""
    job = await held(hand)
    await hand.write(job.id, deadline_ms=1)
    assert (await hand.expire(job.id)).status is Status.HELD
    assert await hand.due("expire") == []


async def test_a_held_job_that_is_adopted_goes_on(hand: Hand) -> None:
    """The operator names fal's id; the clip is delivered and paid once."""
    job = await hand.bought("[emu:submit_garbage]")
    request = (await hand.stack.emulator.requests())[-1]
    assert request["payload"]["prompt"] == (job.input or {})["prompt"]
    adopted = request["request_id"]
    resolved = await hand.gateway.operations.resolve("test", job.id, "adopt", upstream_request_id=adopted)
    assert (resolved.status, resolved.held_reason) == (Status.RUNNING, None)
    assert await hand.slot(job.id) == float("inf")
    assert await hand.store.held() == []
    await hand.completed(job.id)
    assert (await hand.finalized(job.id)).status is Status.SUCCEEDED
    assert await hand.money() == (0, PRICE)


async def test_a_held_job_cancelled_before_its_adoption_is_cancelled_at_fal(hand: Hand) -> None:
    """The wish was only recorded; adopted, it is carried out."""
    job = await hand.bought("[emu:submit_garbage][emu:slow]")
    await hand.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    request_id = (await hand.stack.emulator.requests())[-1]["request_id"]
    await hand.gateway.operations.resolve("test", job.id, "adopt", upstream_request_id=request_id)
    await hand.completed(job.id)
    assert (await hand.finalized(job.id)).status is Status.CANCELED


async def test_a_held_job_that_is_resubmitted_stands_at_its_old_place(hand: Hand) -> None:
    """The operator says that fal has nothing: it is bought again, under a new nonce, before later ones."""
    job = await held(hand)
    later = await hand.admit()
    resolved = await hand.gateway.operations.resolve("test", job.id, "resubmit")
    assert (resolved.status, resolved.nonce, resolved.held_reason) == (Status.QUEUED, None, None)
    assert await hand.redis.zrange(keys.LINE, 0, -1) == [hand.ref(job.id), hand.ref(later)]
    await hand.gateway.stores.slots.grant()
    again = await hand.submit(job.id)
    assert (again.status, again.attempt) == (Status.RUNNING, 2)
    assert again.nonce != job.nonce


@pytest.mark.parametrize("start_deadline", [None, 600])
async def test_a_resubmitted_job_is_late_by_the_clock_that_ends_first(
    hand: Hand, start_deadline: int | None
) -> None:
    """Its clocks did not stop while it was held; in line, they count again."""
    more: dict[str, Any] = {} if start_deadline is None else {"start_deadline": start_deadline}
    job_id = await hand.grant(**more)
    nonce = await hand.store.claim(await hand.job(job_id))
    await hand.store.hold(await hand.job(job_id), nonce=nonce or "", reason="no_answer_in_time")
    await hand.gateway.operations.resolve("test", job_id, "resubmit")
    job = await hand.job(job_id)
    due_ms = await hand.redis.zscore(keys.due("expire"), hand.ref(job_id))
    assert due_ms == (job.deadline_ms if start_deadline is None else job.start_deadline_ms)


@pytest.mark.parametrize(("charged", "money"), [(True, (0, PRICE)), (False, (0, 0))])
async def test_a_held_job_is_ended_with_the_money_the_operator_says(
    hand: Hand,
    charged: bool,  # noqa: FBT001  a parameter of the test
    money: tuple[int, int],
) -> None:
    """Charged at fal: spent. Not charged: given back."""
    job = await held(hand)
    resolved = await hand.gateway.operations.resolve("test", job.id, "fail", charged=charged)
    assert (resolved.status, resolved.money) == (Status.FAILED, Money.SPENT if charged else Money.RELEASED)
    assert resolved.error is not None
    assert resolved.error.code == "unknown_outcome"
    assert await hand.money() == money
    assert await hand.slot(job.id) is None
    assert await hand.store.held() == []


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("adopt", {}),
        ("adopt", {"upstream_request_id": "x", "charged": True}),
        ("resubmit", {"upstream_request_id": "x"}),
        ("resubmit", {"charged": False}),
        ("fail", {}),
        ("fail", {"charged": True, "upstream_request_id": "x"}),
    ],
)
async def test_a_half_said_resolution_is_refused_and_changes_nothing(
    hand: Hand, action: Any, more: dict[str, Any]
) -> None:
    """Each action has exactly its own facts."""
    job = await held(hand)
    before = await picture(hand, job.id)
    with pytest.raises(Unprocessable):
        await hand.gateway.operations.resolve("test", job.id, action, **more)
    assert await picture(hand, job.id) == before


async def test_only_a_held_job_is_resolved(hand: Hand) -> None:
    """Running or ended: 409. Unknown: 404."""
    job = await hand.bought()
    with pytest.raises(Conflict, match="running, not held"):
        await hand.gateway.operations.resolve("test", job.id, "resubmit")
    with pytest.raises(NotFound):
        await hand.gateway.operations.resolve("test", "job_unknown", "resubmit")


async def test_two_operators_resolve_a_job_once(hand: Hand) -> None:
    """One is told that the job changed."""
    job = await held(hand)
    answers = await asyncio.gather(
        hand.gateway.operations.resolve("test", job.id, "fail", charged=True),
        hand.gateway.operations.resolve("test", job.id, "resubmit"),
        return_exceptions=True,
    )
    assert sorted(isinstance(answer, Conflict) for answer in answers) == [False, True]
