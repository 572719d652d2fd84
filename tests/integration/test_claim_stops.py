"""A claim checks again whether buying is allowed: a job granted before a stop is not bought after it."""

import asyncio

import pytest

from app.domain.jobs import Status
from app.store import keys
from app.store.buying import FAILURES_TO_OPEN
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import free_port
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack

pytestmark = pytest.mark.anyio
ACCOUNT = "fal refuses the gateway's key or account; the operator must look at it."
UNREACHABLE = "fal cannot be reached at the moment."


async def grants(pipeline: Pipeline) -> int:
    """Grant with eight lanes at once; how many were granted."""
    return sum(map(len, await asyncio.gather(*(pipeline.gateway.stores.slots.grant() for _ in range(8)))))


async def probe_of(pipeline: Pipeline) -> str:
    """The id of the probe job, which tests whether fal works again."""
    ref: str = await pipeline.redis.hget(keys.BREAKER, "probe")
    return ref.partition("/")[2]


async def bought_no_more(pipeline: Pipeline, job_id: str) -> bool:
    """Submitting this job, which has a slot, sends nothing; the next grant requeues it at its old position."""
    before, attempt = await pipeline.posts(), (await pipeline.job(job_id)).attempt
    job = await pipeline.submit(job_id)
    assert await grants(pipeline) == 0
    in_line = pipeline.ref(job_id) in await pipeline.redis.zrange(keys.LINE, 0, -1)
    kept = (job.status, job.attempt, job.nonce) == (Status.QUEUED, attempt, None) and in_line
    idle = await pipeline.slot(job_id) is None and pipeline.ref(job_id) not in await pipeline.due("submit")
    return kept and idle and await pipeline.posts() == before


async def virtual_times(pipeline: Pipeline) -> list[tuple[str, float]]:
    """The teams that wait, with their virtual times."""
    found: list[tuple[str, float]] = await pipeline.redis.zrange(f"{keys.PREFIX}line:teams", 0, -1, withscores=True)
    return found


@pytest.mark.parametrize("stop", ["all", "team", "account", "open"])
async def test_what_was_granted_before_the_stop_is_not_bought_after_it(pipeline: Pipeline, stop: str) -> None:
    """A pause, or an open breaker: each job returns its slot, keeps its position, and is bought afterwards."""
    ids = [await pipeline.admit() for _ in range(3)]
    before = await virtual_times(pipeline)
    assert await grants(pipeline) == 3
    if stop in {"all", "team"}:
        await pipeline.gateway.operations.pause(
            "test", team=pipeline.team if stop == "team" else None, reason="a look"
        )
    for _ in range(FAILURES_TO_OPEN):
        if stop in {"account", "open"}:
            await pipeline.gateway.stores.buying.report("account" if stop == "account" else "failed", ACCOUNT)
    for job_id in ids:
        assert await bought_no_more(pipeline, job_id)
    assert await virtual_times(pipeline) == before
    await pipeline.gateway.operations.resume("test", team=pipeline.team if stop == "team" else None)
    assert await grants(pipeline) == 3
    assert (await pipeline.submit(ids[0])).status is Status.RUNNING


async def test_half_open_only_the_one_that_tries_is_bought(pipeline: Pipeline) -> None:
    """Jobs that were granted before it opened are requeued, even after its time is over."""
    old = await pipeline.grant()
    for _ in range(FAILURES_TO_OPEN):
        await pipeline.gateway.stores.buying.report("failed", UNREACHABLE)
    await pipeline.redis.hset(keys.BREAKER, "until_ms", 1)
    await pipeline.admit()
    assert await grants(pipeline) == 1
    assert await probe_of(pipeline) != old
    assert await bought_no_more(pipeline, old)
    assert (await pipeline.submit(await probe_of(pipeline))).status is Status.RUNNING
    assert await grants(pipeline) == 1
    assert (await pipeline.submit(old)).status is Status.RUNNING


@pytest.mark.parametrize("status", [401, 0])
async def test_the_slot_of_a_refused_job_buys_nothing(store: RedisServer, emulator: Emulator, status: int) -> None:
    """The breaker is updated before the slot is free: lanes that grant all the time give it to no job."""
    answers = [Reply(401, body=b'{"detail": "no"}')]
    async with Receiver() as refusing:
        refusing.answers(answers)
        url = refusing.url if status else f"http://127.0.0.1:{free_port()}"
        settings = {"FILMGATE_FAL_QUEUE_URL": url, "FILMGATE_UPSTREAM_CONCURRENCY": "1"}
        async with open_stack(store, emulator, **settings) as stack:
            pipeline = Pipeline(stack)
            for _ in range(FAILURES_TO_OPEN - 1):
                await pipeline.gateway.stores.buying.report("failed", UNREACHABLE)
            job_id = await pipeline.grant()
            await pipeline.admit()
            submitting = asyncio.create_task(pipeline.submit(job_id))
            granted = 0
            while not submitting.done():
                granted += await grants(pipeline)
            assert (await submitting).status is Status.QUEUED
            assert granted == 0
