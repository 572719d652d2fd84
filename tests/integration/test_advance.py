"""State transitions: compare and set; stale steps are refused, and an operator ends held jobs."""

import asyncio
from typing import Any

import pytest

from app.domain.errors import Conflict, NotFound, Unprocessable
from app.domain.jobs import Charge, Job, Money, Status
from app.store import keys
from app.store.jobs import HELD_SLOT_MS
from tests.support.pipeline import DAY_MS, Pipeline

pytestmark = pytest.mark.anyio
PRICE = 1_400_000


async def claimed(pipeline: Pipeline) -> tuple[Job, str]:
    """A job in submission, and its attempt's nonce."""
    job_id = await pipeline.grant()
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    assert nonce is not None
    return await pipeline.job(job_id), nonce


async def held(pipeline: Pipeline) -> Job:
    """A job whose submission has an unknown outcome."""
    job, nonce = await claimed(pipeline)
    assert await pipeline.store.hold(job, nonce=nonce, reason="no_answer_in_time")
    return await pipeline.job(job.id)


async def picture(pipeline: Pipeline, job_id: str) -> list[Any]:
    """Everything that a state transition may write."""
    ref = pipeline.ref(job_id)
    record = await pipeline.redis.hgetall(keys.job(ref))
    places = [keys.LINE, keys.LATER, keys.SLOTS, keys.HELD, *(keys.due(step) for step in keys.STEPS)]
    scores = [await pipeline.redis.zscore(place, ref) for place in places]
    return [record, scores, await pipeline.money(), await pipeline.redis.xlen(keys.events(pipeline.team))]


async def test_a_stale_nonce_changes_nothing(pipeline: Pipeline) -> None:
    """A worker that slept through another attempt cannot adopt, hold, requeue or end the job."""
    first, old = await claimed(pipeline)
    await pipeline.store.requeue(first, nonce=old, wait_ms=0)
    await pipeline.gateway.stores.slots.grant()
    new = await pipeline.store.claim(await pipeline.job(first.id))
    assert new not in {None, old}
    before = await picture(pipeline, first.id)
    assert not await pipeline.store.adopt(first, nonce=old, upstream_request_id="late", poll_ms=0)
    assert not await pipeline.store.hold(first, nonce=old, reason="late")
    assert not await pipeline.store.requeue(first, nonce=old, wait_ms=0)
    assert not await pipeline.store.end(
        first, (Status.SUBMITTING,), Status.FAILED, charge=Charge.RELEASE, nonce=old
    )
    assert await picture(pipeline, first.id) == before


async def test_of_ten_ways_out_one_is_taken(pipeline: Pipeline) -> None:
    """Adopt, hold and requeue race: exactly one wins, and the job is consistent afterwards."""
    job, nonce = await claimed(pipeline)
    done = await asyncio.gather(
        *(pipeline.store.adopt(job, nonce=nonce, upstream_request_id=f"id-{n}", poll_ms=0) for n in range(4)),
        *(pipeline.store.requeue(job, nonce=nonce, wait_ms=0) for _ in range(4)),
        *(pipeline.store.end(job, (Status.SUBMITTING,), Status.FAILED, charge=Charge.RELEASE) for _ in range(2)),
    )
    assert sum(done) == 1


async def test_an_end_is_final(pipeline: Pipeline) -> None:
    """No late or repeated step changes an ended job or its money."""
    job = await pipeline.ended()
    before = await picture(pipeline, job.id)
    nonce = job.nonce or ""
    assert await pipeline.store.claim(job) is None
    assert not await pipeline.store.adopt(job, nonce=nonce, upstream_request_id="x", poll_ms=0)
    assert not await pipeline.store.hold(job, nonce=nonce, reason="late")
    assert not await pipeline.store.requeue(job, nonce=nonce, wait_ms=0)
    assert not await pipeline.store.complete_upstream(job, upstream_status="COMPLETED", logs=[])
    for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED):
        assert not await pipeline.store.end(job, (Status.FINALIZING,), status, charge=Charge.RELEASE)
    assert await picture(pipeline, job.id) == before


async def test_a_claim_without_a_slot_is_refused(pipeline: Pipeline) -> None:
    """A task enqueued before the slot was taken back must not buy beyond fal's concurrency."""
    job_id = await pipeline.admit()
    assert await pipeline.store.claim(await pipeline.job(job_id)) is None
    assert (await pipeline.job(job_id)).attempt == 0


async def test_an_ended_record_expires_and_a_live_one_does_not(pipeline: Pipeline) -> None:
    """Retention starts at the end; a held job never expires."""
    kept = await held(pipeline)
    assert await pipeline.redis.ttl(keys.job(pipeline.ref(kept.id))) == -1
    ended = await pipeline.ended()
    assert 29 * DAY_MS < await pipeline.redis.pttl(keys.job(pipeline.ref(ended.id))) <= 30 * DAY_MS


async def test_every_change_writes_its_event_in_order(pipeline: Pipeline) -> None:
    """One event for each, with an increasing sequence, and without input or nonce."""
    job = await pipeline.ended()
    events = await pipeline.job_events()
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


async def test_a_change_wakes_a_lane(pipeline: Pipeline) -> None:
    """A waiting lane is woken and need not poll."""
    await pipeline.redis.delete(keys.WAKE)
    assert not await pipeline.gateway.stores.due.wait_for_wake(seconds=0.05)
    await pipeline.admit()
    assert await pipeline.gateway.stores.due.wait_for_wake(seconds=1)


# --- held, and its three ways out --------------------------------------------------------------------------------


async def test_a_held_job_keeps_money_and_place_and_its_slot_for_ten_minutes(pipeline: Pipeline) -> None:
    """After ten minutes the slot serves others, and the job stays held."""
    job = await held(pipeline)
    assert await pipeline.money() == (PRICE, 0)
    assert await pipeline.store.held() == [pipeline.ref(job.id)]
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    assert await pipeline.slot(job.id) == pytest.approx(now_ms + HELD_SLOT_MS, abs=5000)
    await pipeline.gateway.stores.slots.grant()
    assert await pipeline.slot(job.id) is not None
    await pipeline.redis.zadd(keys.SLOTS, {pipeline.ref(job.id): 1})
    await pipeline.gateway.stores.slots.grant()
    assert await pipeline.slot(job.id) is None
    assert (await pipeline.job(job.id)).status is Status.HELD
    assert await pipeline.store.held() == [pipeline.ref(job.id)]
    assert await pipeline.money() == (PRICE, 0)
    assert await pipeline.redis.zcard(keys.LINE) == 0


async def test_a_held_job_has_no_deadline(pipeline: Pipeline) -> None:
    """It is unknown whether it was bought, so no clock may end it."""
    job = await held(pipeline)
    await pipeline.write(job.id, deadline_ms=1)
    assert (await pipeline.expire(job.id)).status is Status.HELD
    assert await pipeline.due("expire") == []


async def test_a_held_job_that_is_adopted_runs_on(pipeline: Pipeline) -> None:
    """The operator gives fal's id; the clip is delivered and charged once."""
    job = await pipeline.bought("[emu:submit_garbage]")
    request = (await pipeline.stack.emulator.requests())[-1]
    assert request["payload"]["prompt"] == (job.input or {})["prompt"]
    adopted = request["request_id"]
    resolved = await pipeline.gateway.operations.resolve("test", job.id, "adopt", upstream_request_id=adopted)
    assert (resolved.status, resolved.held_reason) == (Status.RUNNING, None)
    assert await pipeline.slot(job.id) == float("inf")
    assert await pipeline.store.held() == []
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED
    assert await pipeline.money() == (0, PRICE)


async def test_a_held_job_cancelled_before_its_adoption_is_cancelled_at_fal(pipeline: Pipeline) -> None:
    """The cancellation was only recorded; it is carried out after the adoption."""
    job = await pipeline.bought("[emu:submit_garbage][emu:slow]")
    await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    request_id = (await pipeline.stack.emulator.requests())[-1]["request_id"]
    await pipeline.gateway.operations.resolve("test", job.id, "adopt", upstream_request_id=request_id)
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.CANCELED


async def test_a_held_job_that_is_resubmitted_is_at_its_old_position_in_line(pipeline: Pipeline) -> None:
    """The operator says that fal has nothing: it is bought again, with a new nonce, before later jobs."""
    job = await held(pipeline)
    later = await pipeline.admit()
    resolved = await pipeline.gateway.operations.resolve("test", job.id, "resubmit")
    assert (resolved.status, resolved.nonce, resolved.held_reason) == (Status.QUEUED, None, None)
    assert await pipeline.redis.zrange(keys.LINE, 0, -1) == [pipeline.ref(job.id), pipeline.ref(later)]
    await pipeline.gateway.stores.slots.grant()
    again = await pipeline.submit(job.id)
    assert (again.status, again.attempt) == (Status.RUNNING, 2)
    assert again.nonce != job.nonce


@pytest.mark.parametrize("start_deadline", [None, 600])
async def test_a_resubmitted_job_is_late_by_the_clock_that_ends_first(
    pipeline: Pipeline, start_deadline: int | None
) -> None:
    """Its clocks ran on while it was held; in line, they apply again."""
    more: dict[str, Any] = {} if start_deadline is None else {"start_deadline": start_deadline}
    job_id = await pipeline.grant(**more)
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    await pipeline.store.hold(await pipeline.job(job_id), nonce=nonce or "", reason="no_answer_in_time")
    await pipeline.gateway.operations.resolve("test", job_id, "resubmit")
    job = await pipeline.job(job_id)
    due_ms = await pipeline.redis.zscore(keys.due("expire"), pipeline.ref(job_id))
    assert due_ms == (job.deadline_ms if start_deadline is None else job.start_deadline_ms)


@pytest.mark.parametrize(("charged", "money"), [(True, (0, PRICE)), (False, (0, 0))])
async def test_a_held_job_is_ended_with_the_money_the_operator_says(
    pipeline: Pipeline,
    charged: bool,  # noqa: FBT001  a parameter of the test
    money: tuple[int, int],
) -> None:
    """Charged at fal: spent. Not charged: released."""
    job = await held(pipeline)
    resolved = await pipeline.gateway.operations.resolve("test", job.id, "fail", charged=charged)
    assert (resolved.status, resolved.money) == (Status.FAILED, Money.SPENT if charged else Money.RELEASED)
    assert resolved.error is not None
    assert resolved.error.code == "unknown_outcome"
    assert await pipeline.money() == money
    assert await pipeline.slot(job.id) is None
    assert await pipeline.store.held() == []


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
async def test_an_incomplete_resolution_is_refused_and_changes_nothing(
    pipeline: Pipeline, action: Any, more: dict[str, Any]
) -> None:
    """Each action takes exactly its own members."""
    job = await held(pipeline)
    before = await picture(pipeline, job.id)
    with pytest.raises(Unprocessable):
        await pipeline.gateway.operations.resolve("test", job.id, action, **more)
    assert await picture(pipeline, job.id) == before


async def test_only_a_held_job_is_resolved(pipeline: Pipeline) -> None:
    """Running or ended is 409; unknown is 404."""
    job = await pipeline.bought()
    with pytest.raises(Conflict, match="running, not held"):
        await pipeline.gateway.operations.resolve("test", job.id, "resubmit")
    with pytest.raises(NotFound):
        await pipeline.gateway.operations.resolve("test", "job_unknown", "resubmit")


async def test_two_operators_resolve_a_job_once(pipeline: Pipeline) -> None:
    """One succeeds; the other gets that the job has changed."""
    job = await held(pipeline)
    answers = await asyncio.gather(
        pipeline.gateway.operations.resolve("test", job.id, "fail", charged=True),
        pipeline.gateway.operations.resolve("test", job.id, "resubmit"),
        return_exceptions=True,
    )
    assert sorted(isinstance(answer, Conflict) for answer in answers) == [False, True]
