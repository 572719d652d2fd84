"""The submit step: whatever fal answers, one job is bought at most once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain.jobs import Money, Status
from app.store import keys
from app.store.jobs import SUBMIT_LEASE_MS
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Answer, Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.lane import expire
from workers.runtime import Runtime
from workers.submit import _record, retry_wait_ms, submit, submit_all

pytestmark = pytest.mark.anyio
PRICE = 1_400_000

UNKNOWN = {
    "drop_before_accept": "connection_lost",
    "drop_after_accept": "connection_lost",
    "submit_cut": "connection_lost",
    "submit_500": "http_500",
    "submit_502_nginx": "http_502",
    "submit_502_accepted": "http_502",
    "submit_garbage": "unreadable_answer",
    "submit_redirect": "http_302",
}


@asynccontextmanager
async def scripted_fal(
    store: RedisServer, emulator: Emulator, *answers: Answer
) -> AsyncIterator[tuple[Pipeline, Receiver]]:
    """A gateway whose fal answers these bytes; images still come from the emulator."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers(answers)
        yield Pipeline(stack), fal


async def keep_pushing(pipeline: Pipeline, job_id: str) -> None:
    """Everything that might resend a held job: tasks, grants, housekeeping."""
    for _ in range(3):
        await submit(pipeline.gateway, pipeline.ref(job_id))
        await pipeline.gateway.stores.slots.grant()
        await expire(pipeline.gateway)


async def assert_held(pipeline: Pipeline, job_id: str, reason: str) -> None:
    """Held for this reason, with its money and its slot, not in line and not due in any step."""
    job = await pipeline.job(job_id)
    assert (job.status, job.held_reason, job.money, job.attempt) == (Status.HELD, reason, Money.RESERVED, 1)
    assert await pipeline.money() == (PRICE, 0)
    assert await pipeline.slot(job_id) is not None
    assert await pipeline.redis.zcard(keys.LINE) == await pipeline.redis.zcard(keys.LATER) == 0
    assert await pipeline.due("submit") == []


async def test_an_accepted_job_runs_under_fals_id(pipeline: Pipeline) -> None:
    """One POST, one id; the claim has nonce and attempt; the slot is kept."""
    before = await pipeline.posts()
    job = await pipeline.bought()
    assert (job.status, job.attempt, job.upstream_status) == (Status.RUNNING, 1, "IN_QUEUE")
    assert job.nonce is not None
    assert await pipeline.posts() == before + 1
    request = await pipeline.stack.emulator.request(job.upstream_request_id or "")
    assert request["payload"]["prompt"] == (job.input or {})["prompt"]
    assert await pipeline.slot(job.id) == float("inf")


async def test_eight_workers_on_one_job_make_one_post(pipeline: Pipeline) -> None:
    """The claim is a compare-and-set: one wins, the others do nothing."""
    job_id = await pipeline.grant()
    before = await pipeline.posts()
    await asyncio.gather(*(submit(pipeline.gateway, pipeline.ref(job_id)) for _ in range(8)))
    assert await pipeline.posts() == before + 1
    assert (await pipeline.job(job_id)).attempt == 1


@pytest.mark.parametrize(("tag", "reason"), UNKNOWN.items())
async def test_an_unknown_outcome_is_held_and_never_sent_again(pipeline: Pipeline, tag: str, reason: str) -> None:
    """Fal may have it or not: the money is kept, and nothing in the pipeline posts it a second time."""
    before = await pipeline.posts()
    job = await pipeline.bought(f"[emu:{tag}]")
    await assert_held(pipeline, job.id, reason)
    await keep_pushing(pipeline, job.id)
    assert await pipeline.posts() == before + 1
    await assert_held(pipeline, job.id, reason)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"request_id": null}',
        b'{"request_id": 7}',
        b'{"request_id": "../../admin"}',
        b'{"request_id": "' + b"x" * 5000 + b'"}',
        b'{"request_id": "abc"',
        b"<html>ok</html>",
        b"[" * 100_000,
    ],
    ids=["empty", "array", "null", "number", "path", "long", "truncated", "html", "deep"],
)
async def test_a_reply_without_a_usable_id_is_held_and_not_stored(
    store: RedisServer, emulator: Emulator, body: bytes
) -> None:
    """200 means that fal accepted it, and without its id it cannot be polled."""
    async with scripted_fal(store, emulator, Reply(200, body=body)) as (pipeline, fal):
        job = await pipeline.bought()
        await assert_held(pipeline, job.id, "unreadable_answer")
        await keep_pushing(pipeline, job.id)
        assert len(fal.requests) == 1
        if len(body) > 100:
            record = await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id)))
            assert body[20:80].decode() not in str(record)


WHOLE = Reply(200, body=b'{"request_id": "abc"}').encoded()


@pytest.mark.parametrize("length", [0, 1, 16, 40, len(WHOLE) - 1, len(WHOLE)])
async def test_a_reply_that_breaks_off_is_held(store: RedisServer, emulator: Emulator, length: int) -> None:
    """A reset after some bytes: held unless the whole reply had arrived; one POST in any case."""

    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE[:length])
        await writer.drain()
        writer.transport.abort()

    async with scripted_fal(store, emulator, cut) as (pipeline, fal):
        job = await pipeline.bought()
        assert job.status is (Status.RUNNING if length == len(WHOLE) else Status.HELD)
        await keep_pushing(pipeline, job.id)
        assert len(fal.requests) == 1
        assert await pipeline.money() == (PRICE, 0)


async def test_an_answer_that_never_comes_is_held(pipeline: Pipeline, full: bool) -> None:  # noqa: FBT001  a fixture
    """After 30 s the outcome is unknown, although fal has it."""
    if not full:
        pytest.skip("takes 30 s; --full runs it")
    job = await pipeline.bought("[emu:submit_hang]")
    await assert_held(pipeline, job.id, "no_answer_in_time")


async def test_an_answer_of_megabytes_is_cut_off_and_held(store: RedisServer, emulator: Emulator) -> None:
    """The limit is 1 MB, and the connection is closed."""
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while sent < 200_000_000:
            writer.write(b" " * 100_000)
            await writer.drain()
            sent += 100_000

    async with scripted_fal(store, emulator, flood) as (pipeline, fal):
        job = await pipeline.bought()
        assert (job.status, job.held_reason) == (Status.HELD, "connection_lost")
        assert sent < 20_000_000
        await keep_pushing(pipeline, job.id)
        assert len(fal.requests) == 1


async def test_fals_key_goes_nowhere_but_to_fal(store: RedisServer, emulator: Emulator) -> None:
    """URLs in a reply are never called: they are rebuilt from the id."""
    async with Receiver() as evil:
        urls = {f"{name}_url": f"{evil.url}/{name}" for name in ("status", "response", "cancel")}
        body = str({"request_id": "abc-1", **urls}).replace("'", '"').encode()
        status = Reply(200, body=b'{"status": "COMPLETED"}')
        result = Reply(200, body=b'{"video": {"url": "https://v3.fal.media/files/a.mp4"}}')
        async with scripted_fal(store, emulator, Reply(200, body=body), status, result) as (pipeline, fal):
            job = await pipeline.bought()
            await pipeline.completed(job.id)
            ended = await pipeline.finalized(job.id)
            assert ended.status is Status.SUCCEEDED
            assert [request.target for request in fal.requests[1:]] == [
                "/fal-ai/kling-video/requests/abc-1/status?logs=1",
                "/fal-ai/kling-video/requests/abc-1",
            ]
        assert evil.connections == 0


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422])
async def test_a_definite_refusal_fails_and_gives_the_money_back(
    store: RedisServer, emulator: Emulator, status: int
) -> None:
    """Fal read the request and did not queue it."""
    async with scripted_fal(store, emulator, Reply(status, body=b'{"detail": "no"}')) as (pipeline, fal):
        job = await pipeline.bought()
        assert (job.status, job.money, job.charged_micro) == (Status.FAILED, Money.RELEASED, 0)
        assert job.error is not None
        assert (job.error.code, job.error.upstream) == ("upstream_rejected", {"status": status})
        assert await pipeline.money() == (0, 0)
        assert await pipeline.slot(job.id) is None
        await keep_pushing(pipeline, job.id)
        assert len(fal.requests) == 1


@pytest.mark.parametrize("tag", ["401:1", "403_locked:1"])
async def test_trouble_with_fals_account_pauses_buying_and_moves_no_money(pipeline: Pipeline, tag: str) -> None:
    """The job keeps its position, nothing is granted, and after the pause it is bought once."""
    job = await pipeline.bought(f"[emu:{tag}]")
    assert (job.status, job.attempt, job.money) == (Status.QUEUED, 1, Money.RESERVED)
    assert await pipeline.entries(job.id) == ["reserve"]
    state = await pipeline.gateway.stores.buying.state()
    assert (state.stopped, state.until_ms) == (
        "fal refuses the gateway's key or account; the operator must look at it.",
        None,
    )
    assert await pipeline.redis.zrange(keys.LINE, 0, -1) == [pipeline.ref(job.id)]
    assert len(await pipeline.gateway.stores.slots.grant()) == 0
    before = await pipeline.posts()
    await submit(pipeline.gateway, pipeline.ref(job.id))  # an earlier task: without a slot it buys nothing
    assert await pipeline.posts() == before
    await pipeline.redis.delete(keys.BREAKER)
    assert len(await pipeline.gateway.stores.slots.grant()) == 1
    job = await pipeline.submit(job.id)
    assert (job.status, job.attempt) == (Status.RUNNING, 2)
    assert await pipeline.posts() == before + 1


async def test_a_busy_fal_puts_the_job_back_and_it_is_paid_once(pipeline: Pipeline) -> None:
    """429: a growing pause outside the line, then its old position, then one clip and one charge."""
    job = await pipeline.bought("[emu:429_direct:2]")
    for attempt in (1, 2):
        assert (job.status, job.attempt) == (Status.QUEUED, attempt)
        assert await pipeline.slot(job.id) is None
        again_ms = await pipeline.redis.zscore(keys.LATER, pipeline.ref(job.id))
        wait_ms = again_ms - await pipeline.gateway.stores.clock.now_ms()
        assert 0 < wait_ms <= retry_wait_ms(attempt - 1)
        assert len(await pipeline.gateway.stores.slots.grant()) == 0
        await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job.id): 1})
        await pipeline.redis.delete(keys.BREAKER)
        assert len(await pipeline.gateway.stores.slots.grant()) == 1
        job = await pipeline.submit(job.id)
    assert (job.status, job.attempt) == (Status.RUNNING, 3)
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED
    charges = (await pipeline.stack.emulator.ledger())["charges"]
    assert len([one for one in charges if one["prompt"] == (job.input or {})["prompt"]]) == 1
    assert await pipeline.money() == (0, PRICE)


async def test_a_fal_that_is_not_there_is_tried_again(store: RedisServer, emulator: Emulator) -> None:
    """Connection refused: nothing was sent, so the job waits and is bought when fal answers again."""
    fal = Receiver()
    async with fal:
        pass  # its port is closed now
    async with open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=f"http://127.0.0.1:{fal.port}") as stack:
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        assert (job.status, job.attempt, job.money) == (Status.QUEUED, 1, Money.RESERVED)
        assert await pipeline.redis.zscore(keys.LATER, pipeline.ref(job.id)) is not None
        async with Receiver(port=fal.port) as back:
            back.answers([Reply(200, body=b'{"request_id": "abc-1"}')])
            await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job.id): 1})
            await stack.gateway.stores.slots.grant()
            job = await pipeline.submit(job.id)
            assert (job.status, job.upstream_request_id) == (Status.RUNNING, "abc-1")
            assert len(back.requests) == 1


def test_the_pause_between_attempts_doubles_up_to_a_minute() -> None:
    """1 s, 2 s, 4 s … 60 s, and no overflow after many."""
    waits = [retry_wait_ms(attempt) for attempt in (0, 1, 2, 5, 6, 10_000)]
    assert waits == [1000, 2000, 4000, 32_000, 60_000, 60_000]


async def test_a_job_whose_worker_died_after_the_claim_is_held(pipeline: Pipeline) -> None:
    """During the lease it is left alone; afterwards the outcome is unknown, so nothing is sent."""
    job_id = await pipeline.grant()
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    assert nonce is not None
    before = await pipeline.posts()
    job = await pipeline.submit(job_id)
    assert job.status is Status.SUBMITTING
    assert await pipeline.redis.zscore(keys.due("submit"), pipeline.ref(job_id)) == job.lease_ms
    assert (job.lease_ms or 0) <= await pipeline.gateway.stores.clock.now_ms() + SUBMIT_LEASE_MS
    await pipeline.write(job_id, lease_ms=1)
    await pipeline.submit(job_id)
    await assert_held(pipeline, job_id, "worker_lost")
    assert await pipeline.posts() == before
    assert await pipeline.store.adopt(job, nonce=nonce, upstream_request_id="late", poll_ms=0)  # it was just slow
    assert (await pipeline.job(job_id)).status is Status.RUNNING


async def test_a_cancel_during_the_submission_is_carried_out_once_fal_has_it(pipeline: Pipeline) -> None:
    """Submitting cannot be stopped; the cancellation is recorded, and the first poll sends it to fal."""
    job_id = await pipeline.grant("[emu:slow]")
    job = await pipeline.job(job_id)
    nonce = await pipeline.store.claim(job)
    reply = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (202, "submitting")
    outcome = await pipeline.gateway.fal.submit(
        job.model, job.input or {}, start_timeout=None, marker="m", webhook_url=None
    )
    request_id = getattr(outcome, "request_id", "")
    assert await pipeline.store.adopt(job, nonce=nonce or "", upstream_request_id=request_id, poll_ms=0)
    ended = await pipeline.finalized((await pipeline.completed(job_id)).id)
    assert (ended.status, ended.money) == (Status.CANCELED, Money.DISPUTED)
    assert (await pipeline.stack.emulator.request(request_id))["cancelled"] is True


async def test_a_cancel_of_a_held_job_is_recorded_and_nothing_else(pipeline: Pipeline) -> None:
    """Money and place are kept until the outcome is known; a second cancel gets the same answer."""
    job = await pipeline.bought("[emu:submit_500]")
    for _ in range(2):
        reply = await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
        assert (reply.status_code, reply.json()["status"]) == (202, "held")
        assert reply.json()["cancel_requested_at"] is not None
    await assert_held(pipeline, job.id, "http_500")


async def test_a_generation_of_an_ended_job_is_cancelled_at_fal(store: RedisServer, emulator: Emulator) -> None:
    """An operator ended the job during its POST: fal's late answer is an orphan, and the job stays ended."""
    async with open_stack(store, emulator) as stack:
        pipeline = Pipeline(stack)
        job_id = await pipeline.grant("[emu:slow]")
        job = await pipeline.job(job_id)
        nonce = await pipeline.store.claim(job)
        await pipeline.write(job_id, lease_ms=1)
        await pipeline.submit(job_id)
        await stack.gateway.operations.resolve("test", job_id, "fail", charged=False)
        outcome = await stack.gateway.fal.submit(
            job.model, job.input or {}, start_timeout=None, marker="m", webhook_url=None
        )
        await _record(stack.gateway, job, nonce or "", outcome)
        assert (await pipeline.job(job_id)).status is Status.FAILED
        assert (await emulator.request(getattr(outcome, "request_id", "")))["cancelled"] is True


async def test_what_was_bought_is_written_down_although_the_store_was_away(
    store: RedisServer, emulator: Emulator
) -> None:
    """Fal's id is in only one process until it is saved: saving is retried for some seconds."""

    async def away(writer: asyncio.StreamWriter) -> None:
        store.freeze()
        asyncio.get_running_loop().call_later(2.5, store.thaw)
        writer.write(Reply(200, body=b'{"request_id": "abc-1"}').encoded())
        await writer.drain()

    async with scripted_fal(store, emulator, away) as (pipeline, fal):
        job = await pipeline.bought()
        assert (job.status, job.upstream_request_id, job.attempt) == (Status.RUNNING, "abc-1", 1)
        assert len(fal.requests) == 1


async def test_one_jobs_failure_interrupts_no_other_call(store: RedisServer, emulator: Emulator) -> None:
    """Four submissions share a task; only an unreadable record fails."""
    async with open_stack(store, emulator) as stack:
        pipeline = Pipeline(stack)
        ids = [await pipeline.admit() for _ in range(4)]
        await stack.gateway.stores.slots.grant()
        name = keys.job(pipeline.ref(ids[0]))
        created = await pipeline.redis.hget(name, "created_ms")
        await pipeline.redis.hset(name, "created_ms", "nobody knows")
        loop = asyncio.get_running_loop()
        runtime = await loop.run_in_executor(None, lambda: Runtime(stack.settings, queue="work"))
        try:
            await loop.run_in_executor(
                None, lambda: runtime.run(submit_all(runtime, [pipeline.ref(job_id) for job_id in ids]))
            )
        finally:
            await loop.run_in_executor(None, runtime.close)
        await pipeline.redis.hset(name, "created_ms", created)
        assert [(await pipeline.job(job_id)).status for job_id in ids] == [Status.QUEUED, *[Status.RUNNING] * 3]


async def test_the_time_left_to_start_is_sent_to_fal(pipeline: Pipeline) -> None:
    """Time in our line counts: fal gets what is left of the start deadline, and must not reroute."""
    job = await pipeline.bought(start_deadline=600)
    headers = (await pipeline.stack.emulator.request(job.upstream_request_id or ""))["headers"]
    assert 590 < float(headers["x-fal-request-timeout"]) <= 600
    assert headers["x-app-fal-disable-fallback"] == "true"
