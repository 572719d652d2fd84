"""The store is down or slow: fal's clients retry, nothing hangs, and nothing is bought twice."""

import asyncio
import time

import pytest

from tests.integration import fal_queue
from tests.integration.fal_queue import MODEL, given, path_of
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack
from tests.support.tcp_proxy import Moment, StoreProxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

PATIENCE_S = 4.0


async def assert_asked_again(stack: Stack, request_id: str) -> None:
    """Polls, results, cancellations and repeated submissions are 429 with Retry-After, in fal's shape."""
    began = time.monotonic()
    asked = [
        stack.api.get(path_of(request_id, "/status")),
        stack.api.get(path_of(request_id)),
        stack.api.get(path_of(request_id, "/response")),
        stack.api.get(path_of(request_id, "/status/stream")),
        stack.api.put(path_of(request_id, "/cancel")),
        stack.api.post(f"/fal/queue/{MODEL}", json=given(stack)),
        stack.api.post(f"/fal/run/{MODEL}", json=given(stack)),
    ]
    for reply in await asyncio.gather(*asked):
        assert (reply.status_code, int(reply.headers["retry-after"]) >= 1) == (429, True), reply.text
        assert {"detail", "message"} == reply.json().keys()
    new = await stack.api.post(f"/fal/queue/{MODEL}", json=given(stack), headers={"X-Filmgate-New": "1"})
    assert new.status_code == 503  # a retry would be another job
    assert time.monotonic() - began < 2 * PATIENCE_S


async def assert_survived(stack: Stack, request_id: str) -> None:
    """The same polls work again, without a restart."""

    async def answers() -> bool:
        return (await fal_queue.status(stack, request_id)).status_code == 202

    await wait_until(answers, "the store is back", timeout=5)


async def test_a_killed_store_is_429_until_it_is_back(fragile: Stack) -> None:
    """Killed and restarted."""
    request_id = (await fal_queue.submitted(fragile))["request_id"]
    fragile.redis.kill()
    await assert_asked_again(fragile, request_id)
    fragile.redis.start()
    await assert_survived(fragile, request_id)


async def test_a_frozen_store_is_429_until_it_thaws(fragile: Stack) -> None:
    """Connections stay open and get no answer."""
    request_id = (await fal_queue.submitted(fragile))["request_id"]
    fragile.redis.freeze()
    try:
        await assert_asked_again(fragile, request_id)
    finally:
        fragile.redis.thaw()
    await assert_survived(fragile, request_id)


@pytest.mark.parametrize("moment", Moment)
async def test_a_submission_with_a_lost_admission_is_safe_to_retry(
    store: RedisServer, emulator: Emulator, moment: Moment
) -> None:
    """The connection to the store breaks during the admission: 429, and the client's own re-post is one job."""
    async with (
        StoreProxy(store.port) as relay,
        open_stack(store, emulator, FILMGATE_REDIS_URL=relay.url) as stack,
    ):
        await fal_queue.submitted(stack, "first")  # the key and the script are cached: admission is next
        relay.cut(moment)
        unsure = await fal_queue.post(stack, "unsure")
        relay.mend()
        assert unsure.status_code == 429
        again = await fal_queue.post(stack, "unsure")
        assert again.status_code == 200
        assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 2
        assert ("idempotent-replayed" in again.headers) is (moment is not Moment.BEFORE)


async def test_a_held_call_outlives_an_outage(fragile: Stack) -> None:
    """A call that is open when the store goes down is answered once the store is back and the job has ended."""
    held = asyncio.create_task(fragile.api.post(f"/fal/run/{MODEL}", json=given(fragile), timeout=60))

    async def admitted() -> str | None:
        jobs = (await fragile.api.get("/v1/jobs")).json()["data"]
        return str(jobs[0]["id"]) if jobs else None

    job_id = await wait_until(admitted, "the job is admitted")
    assert job_id is not None
    fragile.redis.kill()
    assert (await fal_queue.status(fragile, job_id)).status_code == 429
    fragile.redis.start()
    await assert_survived(fragile, job_id)
    assert not held.done()
    assert (await fal_queue.cancel(fragile, job_id)).status_code == 202
    assert (await asyncio.wait_for(held, 10)).status_code == 499


async def test_polls_are_answered_while_the_store_takes_no_writes(fragile: Stack) -> None:
    """Out of memory: polls are answered, including a job's first one, which would be recorded."""
    request_id = (await fal_queue.submitted(fragile))["request_id"]
    assert fragile.redis.command("CONFIG", "SET", "min-replicas-to-write", "1") == b"+OK\r\n"
    assert (await fal_queue.status(fragile, request_id)).status_code == 202
    assert (await fal_queue.post(fragile, "refused")).status_code == 429
    assert fragile.redis.command("CONFIG", "SET", "min-replicas-to-write", "0") == b"+OK\r\n"
