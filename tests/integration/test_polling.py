"""A lane polls many jobs at once: what is taken, what is recorded, and what happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain.jobs import Job
from app.domain.poll_plan import EDGES_S, MAX_INTERVAL_MS, MOST, bin_of
from app.store import keys
from tests.integration.fal_hooks import HookSender, hook_sender
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from workers.poll_plans import PollPlans
from workers.polling import IDLE_S, TURN_S, VISIBILITY_MS, Polling

pytestmark = pytest.mark.anyio
ACCEPTED = Reply(200, body=b'{"request_id": "abc-1"}')
RUNS = Reply(202, body=b'{"status": "IN_PROGRESS"}')


@asynccontextmanager
async def during_a_poll(
    store: RedisServer, emulator: Emulator
) -> AsyncIterator[tuple[HookSender, str, Polling, asyncio.Event]]:
    """A job whose poll is in progress: fal answers that it still runs once the event is set."""
    answers = asyncio.Event()
    async with Receiver() as queue, hook_sender(store, emulator, FILMGATE_FAL_QUEUE_URL=queue.url) as fal:
        queue.answers([ACCEPTED, held(RUNS, until=answers), *[RUNS] * 5])
        job = await fal.pipeline.bought()
        await fal.pipeline.make_due("poll", fal.pipeline.ref(job.id))
        polling = Polling(fal.pipeline.gateway, fal.pipeline.plans, on_end=lambda: None)
        await polling.turn()
        await queue.wait_for(2)
        yield fal, job.id, polling, answers
        await polling.finish(seconds=5)


async def next_poll_ms(fal: HookSender) -> float:
    """When the only job is polled next."""
    ((_, due_ms),) = await fal.pipeline.redis.zrange(keys.due("poll"), 0, -1, withscores=True)
    return float(due_ms)


async def test_a_webhook_that_meets_a_poll_is_not_overlooked(store: RedisServer, emulator: Emulator) -> None:
    """Fal answered the poll just before it ended: the job is due at once, whatever the poll has recorded."""
    async with during_a_poll(store, emulator) as (fal, job_id, polling, answers):
        job = await fal.pipeline.job(job_id)
        reply = await fal.send(await fal.marker(job_id, job.nonce), job.upstream_request_id or "")
        assert reply.status_code == 204
        answers.set()
        await polling.finish(seconds=5)
        assert await fal.poll_in(job_id) <= 0


async def test_a_poll_that_nothing_met_is_due_again_after_its_interval(
    store: RedisServer, emulator: Emulator
) -> None:
    """Without a webhook the poll decides when the next one is; the lane looks again then, or after a second."""
    async with during_a_poll(store, emulator) as (fal, job_id, polling, answers):
        assert 0 < await fal.poll_in(job_id) <= VISIBILITY_MS / 1000
        assert await polling.turn() == TURN_S  # the poll is still running
        answers.set()
        await polling.finish(seconds=5)
        assert await fal.poll_in(job_id) > 50
        assert await polling.turn() == IDLE_S
        now_ms = await fal.pipeline.gateway.stores.clock.now_ms()
        await fal.pipeline.redis.zadd(keys.due("poll"), {fal.pipeline.ref(job_id): now_ms + 900})
        assert TURN_S < await polling.turn() <= 0.9


async def test_a_poll_that_another_process_took_over_is_not_rescheduled(
    store: RedisServer, emulator: Emulator
) -> None:
    """It outlived its visibility: the time of the process that has it now counts."""
    async with during_a_poll(store, emulator) as (fal, job_id, polling, answers):
        await fal.pipeline.make_due("poll", fal.pipeline.ref(job_id))
        _, _, taken = await fal.pipeline.store.take_polls(limit=9, visibility_ms=2 * VISIBILITY_MS)
        assert [one.ref for one in taken] == [fal.pipeline.ref(job_id)]
        theirs = await next_poll_ms(fal)
        answers.set()
        await polling.finish(seconds=5)
        assert await next_poll_ms(fal) == theirs


async def test_a_webhook_comes_before_everything_else_that_is_due(pipeline: Pipeline) -> None:
    """However many jobs are late, the one that has just ended is polled first."""
    late, ended = await pipeline.bought("[emu:slow]"), await pipeline.bought("[emu:slow]")
    await pipeline.redis.zadd(keys.due("poll"), {pipeline.ref(late.id): 1_000, pipeline.ref(ended.id): 2**50})
    await pipeline.gateway.adoption.adopt(ended, ended.nonce or "", ended.upstream_request_id or "")
    _, next_ms, taken = await pipeline.store.take_polls(limit=1, visibility_ms=VISIBILITY_MS)
    assert (next_ms, [one.ref for one in taken]) == (1_000, [pipeline.ref(ended.id)])


async def test_a_webhook_wakes_a_lane(pipeline: Pipeline) -> None:
    """The lane does not wait for its next turn."""
    job = await pipeline.bought("[emu:slow]")
    while await pipeline.gateway.stores.due.wait_for_wake(seconds=0.1):
        pass
    waking = asyncio.create_task(pipeline.gateway.stores.due.wait_for_wake(seconds=20))
    await pipeline.gateway.adoption.adopt(job, job.nonce or "", job.upstream_request_id or "")
    assert await waking


async def test_a_taken_job_is_as_its_record_says_without_what_is_large(pipeline: Pipeline) -> None:
    """Its input, images and metadata are not read; a job that has ended leaves the step."""
    runs, ends = await pipeline.bought("[emu:slow]", metadata={"a": "b"}), await pipeline.bought()
    await pipeline.completed(ends.id)
    refs = [pipeline.ref(runs.id), pipeline.ref(ends.id)]
    await pipeline.redis.zadd(keys.due("poll"), dict.fromkeys(refs, 1_000))
    _, _, taken = await pipeline.store.take_polls(limit=9, visibility_ms=VISIBILITY_MS)
    (job,) = [one.job() for one in taken]
    assert (job.id, job.status, job.upstream_request_id) == (runs.id, runs.status, runs.upstream_request_id)
    assert (job.deadline_ms, job.submitted_ms, job.logs) == (runs.deadline_ms, runs.submitted_ms, runs.logs)
    assert (job.input, job.metadata) == (None, {})
    assert await pipeline.due("poll") == refs[:1]


async def test_one_record_that_cannot_be_read_stops_no_other_poll(pipeline: Pipeline) -> None:
    """Its own poll fails and is counted; the others are polled."""
    broken, whole = await pipeline.bought(), await pipeline.bought()
    await pipeline.write(broken.id, deadline_ms="soon")
    polling = Polling(pipeline.gateway, pipeline.plans, on_end=lambda: None)

    async def completed() -> bool:
        await pipeline.make_due("poll", pipeline.ref(whole.id))
        await polling.turn()
        return await pipeline.due("finalize") == [pipeline.ref(whole.id)]

    await pipeline.make_due("poll", pipeline.ref(broken.id))
    await wait_until(completed, "the other job is completed")
    await polling.finish(seconds=5)
    assert await pipeline.redis.get(keys.open_leases("poll", pipeline.ref(broken.id))) == "1"
    await pipeline.write(broken.id, deadline_ms=broken.deadline_ms)


async def counted(pipeline: Pipeline, job: Job) -> dict[int, int]:
    """The ends of the job's kind that are in the store, by bin."""
    return await pipeline.gateway.stores.end_ages.count(job.model, job.seconds, [])


async def test_an_end_is_counted_at_its_age_and_one_that_was_asked_for_is_not(pipeline: Pipeline) -> None:
    """A cancelled generation says nothing about how long others take."""
    job, cancelled = await pipeline.bought(), await pipeline.bought("[emu:slow]")
    minute_ago = await pipeline.gateway.stores.clock.now_ms() - 60_000
    await pipeline.write(job.id, submitted_ms=minute_ago)
    await pipeline.completed(job.id)
    await pipeline.stack.api.post(f"/v1/jobs/{cancelled.id}/cancel")
    await pipeline.completed(cancelled.id)
    await pipeline.plans.refresh()
    ((number, count),) = (await counted(pipeline, job)).items()
    assert (count, 58 < EDGES_S[number] < 70) == (1, True)


async def test_the_next_poll_comes_when_an_end_is_likely_and_not_after_the_deadline(pipeline: Pipeline) -> None:
    """Thirty ends after four minutes: a job of one minute is polled rarely, one of four minutes often."""
    job = await pipeline.bought("[emu:slow]")
    assert await pipeline.poll(job.id, later_ms=60_000) == MAX_INTERVAL_MS
    bins = [bin_of(age_ms) for age_ms in range(225_000, 255_000, 1_000)]
    await pipeline.gateway.stores.end_ages.count(job.model, job.seconds, bins)
    pipeline.plans = PollPlans(pipeline.gateway.stores.end_ages, first_s=1)
    assert await pipeline.poll(job.id)  # the kind is known from its first poll on
    await pipeline.plans.refresh()
    wait_ms = await pipeline.poll(job.id, later_ms=60_000)
    assert wait_ms is not None
    assert 10_000 < wait_ms <= 15_000
    assert await pipeline.poll(job.id, later_ms=240_000) in range(900, 1_501)
    await pipeline.write(job.id, deadline_ms=await pipeline.gateway.stores.clock.now_ms() + 62_000)
    assert await pipeline.poll(job.id, later_ms=60_000) in range(2_001)


async def test_old_ends_count_less_than_new_ones(pipeline: Pipeline) -> None:
    """All counts are halved when there are a thousand, so that a model that becomes faster is learned anew."""
    store = pipeline.gateway.stores.end_ages
    await store.count("model", 5, [1] * MOST)
    assert await store.count("model", 5, [2]) == {1: MOST, 2: 1}
    assert await store.count("model", 5, []) == {1: MOST // 2}
