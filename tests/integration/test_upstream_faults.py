"""Faults of fal (docs/reliability.md, U1 to U29), where no other file tests them.

In each case one job is bought at most once, it ends or is held, its money matches its state, and there is an
alarm where a person has to act.
"""

import asyncio
import socket
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.domain.alarms import Alarm
from app.domain.jobs import Job, Money, Status
from app.store import keys
from tests.support.bomb import gzip_bomb
from tests.support.emulator import KLING, Emulator
from tests.support.memory import forget_peak, peak_kb
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.tls import served_for
from workers import poll as poll_step
from workers.lane import expire
from workers.submit import submit

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
ACCEPTED = Reply(200, body=b'{"request_id": "abc-1"}')
RUNNING = Reply(202, body=b'{"status": "IN_PROGRESS"}')
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
BOMB_MB = 300


async def paid(pipeline: Pipeline, job: Job) -> int:
    """How often the emulator charged for this job's prompt."""
    prompt = (job.input or {})["prompt"]
    return sum(one["prompt"] == prompt for one in (await pipeline.stack.emulator.ledger())["charges"])


async def alarms(pipeline: Pipeline, kind: str) -> list[Alarm]:
    """The alarms of this kind."""
    return [alarm for alarm in await pipeline.gateway.stores.alarms.newest(100) if alarm.kind == kind]


# --- submitting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("headers", [{}, {"x-fal-request-id": "abc-1"}], ids=["plain", "with an id in a header"])
async def test_a_failure_behind_the_door_is_held(
    store: RedisServer, emulator: Emulator, status: int, headers: dict[str, str]
) -> None:
    """U5: the failing server may have had the request; an id in a header is of an HTTP request, not of a job."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([Reply(status, headers, body=PAGE)])
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        assert (job.status, job.held_reason, job.money) == (Status.HELD, f"http_{status}", Money.RESERVED)
        await submit(pipeline.gateway, pipeline.ref(job.id))
        await pipeline.gateway.stores.slots.grant()
        await expire(pipeline.gateway)
        assert len(fal.requests) == 1
        assert await pipeline.money() == (PRICE, 0)


@pytest.mark.parametrize("trouble", ["a name that is not there", "an unknown certificate"])
async def test_without_a_connection_nothing_was_bought(
    store: RedisServer, emulator: Emulator, tmp_path: Path, trouble: str
) -> None:
    """U6: no address, or no trusted certificate: the job waits in line, and its attempt cost nothing."""
    server, _ = served_for(tmp_path, ["localhost"])
    async with Receiver(tls=server) as fal:
        url = fal.url if trouble == "an unknown certificate" else "https://queue.invalid"
        async with open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=url) as stack:
            pipeline = Pipeline(stack)
            body = {"input": {"prompt": "a quiet lake", "image_url": "https://example.com/lake.jpg"}}
            job_id = (await stack.api.post("/v1/jobs", json=body)).json()["id"]
            assert len(await pipeline.gateway.stores.slots.grant()) == 1
            job = await pipeline.submit(job_id)
            assert (job.status, job.attempt, job.money) == (Status.QUEUED, 1, Money.RESERVED)
            assert await pipeline.redis.zscore(keys.LATER, pipeline.ref(job_id)) is not None
            assert await pipeline.slot(job_id) is None
        assert fal.requests == []


async def test_a_connection_that_never_stands_is_given_up_in_five_seconds(
    store: RedisServer, emulator: Emulator
) -> None:
    """U7: the connection is not accepted, so nothing was sent: requeued."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        concurrently = [socket.socket() for _ in range(4)]  # fills the backlog of the listener
        for one in concurrently:
            one.setblocking(False)
            one.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        async with open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=url) as stack:
            pipeline = Pipeline(stack)
            job_id = await pipeline.grant()
            began = time.monotonic()
            job = await pipeline.submit(job_id)
            assert 4 < time.monotonic() - began < 8
            assert (job.status, job.money) == (Status.QUEUED, Money.RESERVED)
        for one in concurrently:
            one.close()


async def test_urls_on_another_host_are_an_alarm(pipeline: Pipeline) -> None:
    """U10: they are never called, the job continues with its id, and there is one alarm."""
    job = await pipeline.bought("[emu:evil_status_url]")
    assert job.status is Status.RUNNING
    (alarm,) = await alarms(pipeline, "odd_urls")
    assert (alarm.job, alarm.upstream_request_id) == (job.id, job.upstream_request_id)
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED
    assert await paid(pipeline, job) == 1


async def test_urls_on_fals_host_are_none(pipeline: Pipeline) -> None:
    """U10, the other way round: a correct reply raises no alarm."""
    await pipeline.bought()
    assert await alarms(pipeline, "odd_urls") == []


@pytest.mark.parametrize("part", ["headers", "body"])
async def test_a_reply_that_drips_is_given_up_after_thirty_seconds(
    store: RedisServer,
    emulator: Emulator,
    part: str,
    full: bool,  # noqa: FBT001  a fixture
) -> None:
    """U12: the limit applies to the whole call, and then the outcome is unknown: held."""
    if not full:
        pytest.skip("takes 30 s; --full runs it")
    head, body = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b'{"request_id": "abc-1"' + b" " * 978

    async def drip(writer: asyncio.StreamWriter) -> None:
        if part == "body":
            writer.write(head)
        for byte in head if part == "headers" else body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)

    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([drip])
        pipeline = Pipeline(stack)
        began = time.monotonic()
        job = await pipeline.bought()
        assert time.monotonic() - began < 32
        assert (job.status, job.held_reason) == (Status.HELD, "no_answer_in_time")


@pytest.mark.parametrize("step", ["submit", "status", "result"])
async def test_a_small_answer_that_unpacks_to_gigabytes_stays_small(
    store: RedisServer, emulator: Emulator, step: str
) -> None:
    """U13: answers are not decompressed, because no compression was requested: unreadable bytes are no answer."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    packed = Reply(200, headers, body=gzip_bomb(BOMB_MB))
    done = Reply(200, body=b'{"status": "COMPLETED"}')
    before = {"submit": [], "status": [ACCEPTED], "result": [ACCEPTED, done]}[step]
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([*before, packed])
        pipeline = Pipeline(stack)
        at_rest = forget_peak()
        job = await pipeline.bought()
        if step == "submit":
            assert (job.status, job.held_reason) == (Status.HELD, "unreadable_answer")
        elif step == "status":
            assert await pipeline.poll(job.id) is not None
            assert (await pipeline.job(job.id)).status is Status.RUNNING
        else:
            await pipeline.completed(job.id)
            ended = await pipeline.finalize(job.id)
            assert (ended.status, ended.money) == (Status.FAILED, Money.SPENT)
        assert peak_kb() - at_rest < 30_000


# --- watching ----------------------------------------------------------------------------------------------------


async def test_a_word_that_nobody_knows_is_said_once(pipeline: Pipeline) -> None:
    """U16: it counts as running, and the log has it once, however often fal sends it."""
    poll_step._logged.clear()
    job = await pipeline.bought("[emu:unknown_status][emu:run:0.6]")
    with capture_logs() as lines:
        await pipeline.completed(job.id)
    words = [line["word"] for line in lines if line["event"] == "upstream.unknown_status"]
    assert words == ["WARMING_UP"]
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED
    assert await paid(pipeline, job) == 1


async def test_a_status_that_goes_back_takes_the_job_nowhere(pipeline: Pipeline) -> None:
    """U21: IN_PROGRESS, then IN_QUEUE again: the job keeps running, and its events only go forward."""
    job = await pipeline.bought("[emu:status_backwards][emu:run:0.5]")
    await pipeline.completed(job.id)
    await pipeline.finalized(job.id)
    kinds = [event.type for event in await pipeline.job_events() if event.job.id == job.id]
    assert kinds == ["job.queued", "job.submitting", "job.running", "job.finalizing", "job.succeeded"]


@pytest.mark.parametrize("url", ["data:video/mp4;base64,AAAA", "file:///etc/passwd", "https://evil.example/a.mp4"])
async def test_a_clip_that_nobody_can_show_is_spent_and_an_alarm(
    store: RedisServer, emulator: Emulator, url: str
) -> None:
    """U19: fal delivered, so it is charged; a person should check whether fal's results have a new shape."""
    body = f'{{"video": {{"url": "{url}"}}}}'.encode()
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([ACCEPTED, Reply(200, body=b'{"status": "COMPLETED"}'), Reply(200, body=body)])
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        await pipeline.completed(job.id)
        ended = await pipeline.finalized(job.id)
        assert (ended.status, ended.money) == (Status.FAILED, Money.SPENT)
        assert ended.error is not None
        assert ended.error.code == "bad_upstream_result"
        (alarm,) = await alarms(pipeline, "bad_upstream_result")
        assert (alarm.job, alarm.upstream_request_id) == (job.id, "abc-1")
        assert url not in str(await pipeline.redis.hgetall(keys.job(pipeline.ref(job.id))))


async def test_a_result_that_drips_is_read_again(
    store: RedisServer,
    emulator: Emulator,
    full: bool,  # noqa: FBT001  a fixture
) -> None:
    """U12: ten seconds for the whole read; an outage is not counted against the job."""
    if not full:
        pytest.skip("takes 10 s; --full runs it")

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(60):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(1)

    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([ACCEPTED, Reply(200, body=b'{"status": "COMPLETED"}'), drip])
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        await pipeline.completed(job.id)
        began = time.monotonic()
        now = await pipeline.finalize(job.id)
        assert time.monotonic() - began < 12
        assert (now.status, now.misses, now.money) == (Status.FINALIZING, 0, Money.RESERVED)


# --- one job, two requests ---------------------------------------------------------------------------------------


async def test_a_second_request_of_one_job_is_cancelled_and_an_alarm(pipeline: Pipeline) -> None:
    """U25: fal made two of one submission: the first stays the job's, the second is an orphan, cancelled there."""
    job = await pipeline.bought("[emu:run:0.5]")
    twin = await pipeline.gateway.fal.submit(
        KLING,
        {**(job.input or {}), "prompt": "[emu:slow] the twin"},
        start_timeout=None,
        marker="m",
        webhook_url=None,
    )
    request_id = getattr(twin, "request_id", "")
    gateway = pipeline.gateway
    for _ in range(2):  # fal may send it again
        assert not await gateway.adoption.adopt(job, job.nonce or "", request_id)
    assert (await pipeline.job(job.id)).upstream_request_id == job.upstream_request_id
    assert (await pipeline.stack.emulator.request(request_id))["cancelled"] is True
    assert {(one.job, one.upstream_request_id) for one in await alarms(pipeline, "orphan")} == {
        (job.id, request_id)
    }
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED
    assert await pipeline.entries(job.id) == ["reserve", "settle"]
    assert await paid(pipeline, job) == 1
