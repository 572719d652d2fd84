"""The graph of states: the listed transitions are exactly those that the store allows."""

from contextlib import suppress
from itertools import product

import pytest

from app.domain.jobs import TRANSITIONS, Charge, Job, Status
from app.store import keys
from app.store.jobs import JobStore
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack

pytestmark = pytest.mark.anyio

END_OF = {
    Status.SUCCEEDED: Charge.SPEND,
    Status.FAILED: Charge.RELEASE,
    Status.CANCELED: Charge.RELEASE,
}


async def try_to(store: JobStore, job: Job, before: Status, after: Status) -> bool:
    """Every method of the store that leads to `after`, called on a job in `before`."""
    nonce = job.nonce or ""
    if after is Status.SUBMITTING:
        return await store.claim(job) is not None
    if after is Status.RUNNING and before is Status.QUEUED:
        return await store.adopt_forgotten(job, nonce=nonce, upstream_request_id="x")
    if after is Status.RUNNING:
        return await store.adopt(job, nonce=nonce, upstream_request_id="x", poll_ms=0)
    if after is Status.QUEUED:
        return await store.requeue(job, nonce=nonce, wait_ms=0)
    if after is Status.HELD:
        return await store.hold(job, nonce=nonce, reason="test")
    if after is Status.FINALIZING:
        return await store.complete_upstream(job, upstream_status="COMPLETED", logs=[])
    assert after in {Status.SUCCEEDED, Status.FAILED, Status.CANCELED}
    with suppress(ValueError):  # a transition that is not in the graph is refused before it is sent
        return await store.end(job, (before,), after, charge=END_OF[after])
    return False


async def bring_to(pipeline: Pipeline, state: Status) -> Job:
    """A job in this state."""
    job_id = await pipeline.grant()
    job = await pipeline.job(job_id)
    path = {
        Status.QUEUED: [],
        Status.SUBMITTING: [Status.SUBMITTING],
        Status.HELD: [Status.SUBMITTING, Status.HELD],
        Status.RUNNING: [Status.SUBMITTING, Status.RUNNING],
        Status.FINALIZING: [Status.SUBMITTING, Status.RUNNING, Status.FINALIZING],
    }.get(state) or (
        [] if state is Status.QUEUED else [Status.SUBMITTING, Status.RUNNING, Status.FINALIZING, state]
    )
    for after in path:
        job = await pipeline.job(job_id)
        assert await try_to(pipeline.store, job, job.status, after)
    return await pipeline.job(job_id)


async def test_the_store_allows_what_the_graph_allows(store: RedisServer, emulator: Emulator) -> None:
    """All 64 pairs, on real jobs: a transition of the graph succeeds, any other is refused and changes nothing."""
    async with open_stack(store, emulator, FILMGATE_UPSTREAM_CONCURRENCY="1000") as stack:
        assert await allowed_by_the_store(Pipeline(stack)) == {
            (before, after) for before, ways in TRANSITIONS.items() for after in ways
        }


async def allowed_by_the_store(pipeline: Pipeline) -> set[tuple[Status, Status]]:
    """The pairs of states with a transition; every other try must change nothing."""
    allowed = set()
    for before, after in product(Status, Status):
        job = await bring_to(pipeline, before)
        assert job.status is before
        record = await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id)))
        if await try_to(pipeline.store, job, before, after):
            allowed.add((before, after))
        else:
            assert await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id))) == record
    return allowed
