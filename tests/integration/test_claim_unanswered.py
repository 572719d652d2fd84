"""The reply to a claim is lost: the worker has sent nothing to fal, so the job is bought later, and not held."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.domain.jobs import Money, Status
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.tcp_proxy import Moment, StoreProxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
FROZEN_S = 1.5  # longer than a claim waits for its reply


@pytest.fixture
async def between(store: RedisServer) -> AsyncIterator[StoreProxy]:
    """A port in front of the store."""
    async with StoreProxy(store.port) as proxy:
        yield proxy


@pytest.mark.parametrize(("moment", "frozen_s"), [(Moment.AMID, FROZEN_S), (Moment.AFTER, 0)])
async def test_a_job_whose_claim_got_no_reply_is_bought_and_not_held(
    store: RedisServer, emulator: Emulator, between: StoreProxy, moment: Moment, frozen_s: float
) -> None:
    """A store frozen at the claim, which runs it afterwards, or a reply that is lost: the job is bought once."""
    async with open_stack(store, emulator, FILMGATE_REDIS_URL=between.url) as stack:
        pipeline = Pipeline(stack)
        await pipeline.bought("the scripts are loaded")
        job_id = await pipeline.grant()
        before = await pipeline.posts()
        between.cut(moment, having=b"submitting", then=store.freeze if frozen_s else lambda: None)
        submitting = asyncio.create_task(pipeline.submit(job_id))
        began = time.monotonic()
        await wait_until(lambda: time.monotonic() - began > frozen_s, "nobody waits for the claim", timeout=5)
        store.thaw()
        await submitting
        assert await pipeline.posts() == before
        job = await pipeline.job(job_id)
        assert (job.status, job.money, job.nonce) == (Status.QUEUED, Money.RESERVED, None)
        await pipeline.redis.zadd(keys.SLOTS, {pipeline.ref(job_id): 1}, xx=True)  # a slot that nobody claims ends
        assert len(await stack.gateway.stores.slots.grant()) == 1
        job = await pipeline.submit(job_id)
        assert job.status is Status.RUNNING
        assert await pipeline.posts() == before + 1


async def test_a_claim_that_comes_when_nobody_waits_for_it_is_refused(pipeline: Pipeline) -> None:
    """A store that runs it late changes nothing: the job keeps its slot, and the next step buys it."""
    job_id = await pipeline.grant()
    job, now_ms = await pipeline.job(job_id), await pipeline.gateway.stores.clock.now_ms()
    assert await pipeline.store.claim(job, until_ms=now_ms - 1) is None
    assert (await pipeline.job(job_id)).attempt == 0
    assert (await pipeline.submit(job_id)).status is Status.RUNNING
