"""A held job is resubmitted only when fal's history proves that fal never accepted it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.jobs import Status
from tests.integration.held_jobs import (
    alarms,
    assert_succeeds,
    at_fal,
    canary,
    due_in_ms,
    held,
    listed,
    pipeline_on,
    resolve_at,
    resolve_once,
)
from tests.support.emulator import Emulator, FalCaller
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.redis_server import RedisServer
from workers.reconcile import CLOCK_SKEW_MS, HISTORY_LAG_MS, MARGIN_MS, MAX_PAUSE_MS, resolve, resolve_held
from workers.submit import DEFAULT_START_TIMEOUT_S

pytestmark = pytest.mark.anyio
MINUTE_MS = 60_000
PROVABLE_MS = round(DEFAULT_START_TIMEOUT_S * 1000) + HISTORY_LAG_MS + MARGIN_MS  # after the claim
THREE_TIMES = (PROVABLE_MS, PROVABLE_MS + MINUTE_MS, PROVABLE_MS + 2 * MINUTE_MS)
QUIET_MODEL = "fal-ai/kling-video/v2.1/pro/image-to-video"


@pytest.fixture
async def resubmitting(store: RedisServer, historian: Emulator) -> AsyncIterator[Pipeline]:
    """Unknown outcomes are resubmitted, once it is proven that fal never accepted them."""
    async with pipeline_on(store, historian, FILMGATE_ON_UNKNOWN_OUTCOME="resubmit") as made:
        yield made


async def test_a_job_that_fal_never_accepted_stays_held(store: RedisServer, historian: Emulator) -> None:
    """The default: however long it is absent, a person decides."""
    async with pipeline_on(store, historian) as pipeline:
        await canary(pipeline)
        job = await held(pipeline, "[emu:drop_before_accept:1]", start_deadline=600)
        assert job.start_timeout_ms
        before = await pipeline.posts()
        await resolve_at(pipeline, job, [0, *THREE_TIMES, DAY_MS, 10 * DAY_MS])
        assert (await pipeline.job(job.id)).status is Status.HELD
        assert await pipeline.posts() == before
        assert await alarms(pipeline) == []


async def test_after_proof_it_is_sent_again_once(resubmitting: Pipeline) -> None:
    """Fal had half an hour to start it, and never accepted it: requeued, bought once, charged once."""
    pipeline = resubmitting
    await canary(pipeline)
    before = await pipeline.posts()
    job = await held(pipeline, "[emu:drop_before_accept:1]")
    assert job.start_timeout_ms == DEFAULT_START_TIMEOUT_S * 1000
    await resolve_at(pipeline, job, THREE_TIMES[:2])
    assert (await pipeline.job(job.id)).status is Status.HELD
    with capture_logs() as lines:
        assert await resolve_once(pipeline, job, after_ms=THREE_TIMES[2]) is None
    assert [(one["event"], one["job"]) for one in lines] == [("job.resubmitted", job.id)]
    now = await pipeline.job(job.id)
    assert (now.status, now.nonce, now.attempt) == (Status.QUEUED, None, 1)
    assert await alarms(pipeline) == [("resubmitted", job.id, "")]
    await resolve_once(pipeline, job, after_ms=THREE_TIMES[2] + MINUTE_MS)
    await pipeline.gateway.stores.slots.grant()
    again = await pipeline.submit(job.id)
    assert (again.status, again.attempt) == (Status.RUNNING, 2)
    assert again.nonce != job.nonce
    await assert_succeeds(pipeline, job)
    assert await pipeline.posts() == before + 2
    (request,) = await at_fal(pipeline, job)
    assert request["headers"]["x-fal-request-timeout"] == "1800.0"


async def test_an_own_start_deadline_counts_as_it_was_sent(resubmitting: Pipeline) -> None:
    """With a start deadline of ten minutes the proof is possible that much earlier, but not before."""
    pipeline = resubmitting
    await canary(pipeline)
    job = await held(pipeline, "[emu:drop_before_accept:1]", start_deadline=600)
    assert 590_000 < (job.start_timeout_ms or 0) <= 600_000
    provable_ms = (job.start_timeout_ms or 0) + HISTORY_LAG_MS + MARGIN_MS
    await resolve_at(pipeline, job, [provable_ms - 1 - number * MINUTE_MS for number in range(3)])
    await resolve_at(pipeline, job, [provable_ms, provable_ms + MINUTE_MS])
    assert (await pipeline.job(job.id)).status is Status.HELD
    await resolve_at(pipeline, job, [provable_ms + 2 * MINUTE_MS])
    assert (await pipeline.job(job.id)).status is Status.QUEUED


EARLY = tuple(PROVABLE_MS - 1 - number * MINUTE_MS for number in range(5))
NO_PROOF: dict[str, tuple[dict[str, Any], Sequence[int]]] = {
    "too early": ({}, EARLY),
    "only the last listing late enough": ({}, (*EARLY, PROVABLE_MS)),
    "two listings": ({}, THREE_TIMES[:2]),
    "not a minute apart": ({}, [PROVABLE_MS + step * 1000 for step in (0, 30, 59, 61, 90, 119)]),
    "a page missing": ({"page_rows": 1, "same_cursor": True}, THREE_TIMES),
    "pages without an end": ({"body": listed(has_more=True)}, THREE_TIMES),
    "a history of 15 minutes ago": ({"lag_seconds": 900}, THREE_TIMES),
    "an empty answer": ({"body": listed()}, THREE_TIMES),
    "403": ({"status": 403}, THREE_TIMES),
}


@pytest.mark.parametrize(("trouble", "after_ms"), NO_PROOF.values(), ids=NO_PROOF)
async def test_without_proof_nothing_is_sent_again(
    resubmitting: Pipeline, historian: Emulator, trouble: dict[str, Any], after_ms: Sequence[int]
) -> None:
    """Each missing condition alone is enough to wait."""
    pipeline = resubmitting
    for _ in range(2):
        await canary(pipeline)
    job = await held(pipeline, "[emu:drop_before_accept:1]")
    before = await pipeline.posts()
    await historian.trouble_platform(**trouble)
    await resolve_at(pipeline, job, after_ms)
    assert (await pipeline.job(job.id)).status is Status.HELD
    assert await pipeline.posts() == before
    assert await alarms(pipeline) == []


@pytest.mark.parametrize("other", ["nobody", "a caller's own image", "a stranger", "long ago", "held too"])
async def test_a_listing_without_another_of_ours_proves_nothing(resubmitting: Pipeline, other: str) -> None:
    """It may omit everything of those minutes; a known request sent at about the same time must be in it."""
    pipeline, model = resubmitting, QUIET_MODEL
    if other == "a caller's own image":
        await canary(pipeline, model=model, image=pipeline.stack.emulator.sample_image)
    elif other == "a stranger":
        async with FalCaller(pipeline.stack.emulator.url) as caller:
            await caller.until(await caller.submit("somebody else's", model=model), "COMPLETED")
    elif other == "long ago":
        await canary(pipeline, model=model)
    elif other == "held too":
        await held(pipeline, model=model)
    job = await held(pipeline, "[emu:drop_before_accept:1]", model=model)
    if other == "long ago":
        await pipeline.write(job.id, claimed_ms=(job.claimed_ms or 0) - CLOCK_SKEW_MS - MINUTE_MS)
        job = await pipeline.job(job.id)
    await resolve_at(pipeline, job, THREE_TIMES)
    assert (await pipeline.job(job.id)).status is Status.HELD


async def test_a_start_without_a_limit_proves_nothing(store: RedisServer, historian: Emulator) -> None:
    """It was bought while outcomes were held, so fal got no deadline and may start it at any time."""
    async with pipeline_on(store, historian) as pipeline:
        await canary(pipeline)
        job = await held(pipeline, "[emu:drop_before_accept:1]")
        assert job.start_timeout_ms == 0
        async with pipeline_on(store, historian, FILMGATE_ON_UNKNOWN_OUTCOME="resubmit") as late:
            for moment_ms in THREE_TIMES:
                await resolve(late.gateway, pipeline.ref(job.id), (job.claimed_ms or 0) + moment_ms)
        assert (await pipeline.job(job.id)).status is Status.HELD


async def test_a_request_that_fal_accepted_is_never_resubmitted(
    resubmitting: Pipeline, historian: Emulator
) -> None:
    """The listing fails until much later; the first complete one has the request, and it is adopted."""
    pipeline = resubmitting
    await canary(pipeline)
    job = await held(pipeline)
    await historian.trouble_platform(status=500)
    await resolve_at(pipeline, job, THREE_TIMES)
    await historian.trouble_platform()
    assert await resolve_once(pipeline, job, after_ms=THREE_TIMES[2] + MINUTE_MS) is None
    await assert_succeeds(pipeline, job)


@pytest.mark.parametrize("tag", ["[emu:drop_after_accept:1]", "[emu:drop_before_accept:1]"])
async def test_an_image_of_the_callers_own_is_never_decided(resubmitting: Pipeline, tag: str) -> None:
    """Its URL has no marker: neither adopted nor resubmitted, although fal's history is complete."""
    pipeline = resubmitting
    await canary(pipeline)
    job = await held(pipeline, tag, image=pipeline.stack.emulator.sample_image)
    before = await pipeline.posts()
    for after_ms in (0, *THREE_TIMES, 10 * DAY_MS):
        assert await resolve_once(pipeline, job, after_ms=after_ms) == MAX_PAUSE_MS
    await resolve_held(pipeline.gateway)
    assert (await pipeline.job(job.id)).status is Status.HELD
    assert await pipeline.posts() == before
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert due > MAX_PAUSE_MS - MINUTE_MS
