"""The poll step: whatever a poll answers, the job moves forward or not at all."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.domain.jobs import Job, Money, Status
from app.domain.poll_plan import MAX_INTERVAL_MS, interval_ms
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Answer, Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from workers.poll import MAX_MISSING_POLLS, MISSING_GRACE_MS

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
ACCEPTED = Reply(200, body=b'{"request_id": "abc-1"}')


@asynccontextmanager
async def running(
    store: RedisServer, emulator: Emulator, *answers: Answer
) -> AsyncIterator[tuple[Pipeline, Job, Receiver]]:
    """A running job at a fal with these answers to polls."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([ACCEPTED, *answers])
        pipeline = Pipeline(stack)
        yield pipeline, await pipeline.bought(), fal


def status(body: bytes) -> Reply:
    """A status answer."""
    return Reply(202, body=body)


def test_polls_without_a_plan_slow_down_to_a_second_and_a_half() -> None:
    """From the first interval, by a third each time; a slower first interval is kept."""
    assert [interval_ms(0.1, polls) for polls in (0, 1, 2, 5)] == [100, 130, 169, 371]
    assert interval_ms(0.1, 1000) == MAX_INTERVAL_MS
    assert interval_ms(10, 1000) == 10_000


async def test_a_job_that_fal_completed_gives_its_slot_back(pipeline: Pipeline) -> None:
    """Fetching the result needs no slot; the logs are kept."""
    job = await pipeline.bought()
    job = await pipeline.completed(job.id)
    assert await pipeline.slot(job.id) is None
    assert job.upstream_status == "COMPLETED"
    assert job.logs
    assert await pipeline.due("poll") == []
    assert await pipeline.due("finalize") == [pipeline.ref(job.id)]


@pytest.mark.parametrize("tag", ["html_nginx_503", "status_404_first", "unknown_status", "status_backwards"])
async def test_strange_polls_are_lived_through(pipeline: Pipeline, tag: str) -> None:
    """HTML pages, early 404s, unknown words and steps back: the job succeeds."""
    emulator = pipeline.stack.emulator
    job = await pipeline.bought(f"[emu:{tag}][emu:slow]")

    async def started() -> bool:
        return bool((await emulator.request(job.upstream_request_id or ""))["started_at"])

    await wait_until(started, "fal works on it")
    for _ in range(4):  # the longest fault lasts three polls
        assert await pipeline.poll(job.id) is not None
        assert (await pipeline.job(job.id)).status is Status.RUNNING
    async with emulator.steered():
        await emulator.set_speed(1000)
        await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"status": 5}', b"{}", b"<html>", b'{"status": "completed"}'],
)
async def test_a_poll_that_says_nothing_changes_nothing(
    store: RedisServer, emulator: Emulator, body: bytes
) -> None:
    """Lower case, wrong types, no JSON: the job keeps running and is polled again."""
    async with running(store, emulator, status(body)) as (pipeline, job, _):
        assert await pipeline.poll(job.id) is not None
        now = await pipeline.job(job.id)
        assert (now.status, now.logs) == (Status.RUNNING, [])


async def test_an_unknown_word_counts_as_running(store: RedisServer, emulator: Emulator) -> None:
    """Fal has the request in any case."""
    async with running(store, emulator, status(b'{"status": "WARMING_UP", "queue_position": "x"}')) as (
        pipeline,
        job,
        _,
    ):
        assert await pipeline.poll(job.id) is not None
        assert (await pipeline.job(job.id)).upstream_status == "IN_PROGRESS"


async def test_a_redirect_is_not_followed(store: RedisServer, emulator: Emulator) -> None:
    """The key would be sent along."""
    async with Receiver() as evil:
        redirect = Reply(302, {"Location": f"{evil.url}/status"})
        async with running(store, emulator, redirect) as (pipeline, job, _):
            assert await pipeline.poll(job.id) is not None
            assert (await pipeline.job(job.id)).status is Status.RUNNING
        assert evil.connections == 0


async def test_an_endless_status_is_cut_off(store: RedisServer, emulator: Emulator) -> None:
    """Reading stops at 1 MB; the job keeps running."""
    sent = 0

    async def flood(writer: Any) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while sent < 200_000_000:
            writer.write(b" " * 100_000)
            await writer.drain()
            sent += 100_000

    async with running(store, emulator, flood) as (pipeline, job, _):
        assert await pipeline.poll(job.id) is not None
        assert (await pipeline.job(job.id)).status is Status.RUNNING
        assert sent < 20_000_000


async def test_a_dripping_status_ends_after_ten_seconds(pipeline: Pipeline, full: bool) -> None:  # noqa: FBT001  a fixture
    """The limit applies to the whole call, not to each byte."""
    if not full:
        pytest.skip("takes 10 s; --full runs it")
    job = await pipeline.bought("[emu:status_drip][emu:slow]")
    began = time.monotonic()
    assert await pipeline.poll(job.id) is not None
    assert time.monotonic() - began < 11


async def test_log_lines_are_capped(pipeline: Pipeline) -> None:
    """The newest fifty (contract, logs)."""
    job = await pipeline.bought("[emu:logs_burst]")
    job = await pipeline.completed(job.id)
    assert len(job.logs) == 50


async def test_one_stray_404_in_the_sixth_minute_ends_nothing(store: RedisServer, emulator: Emulator) -> None:
    """Many consecutive polls must be 404 before a request counts as lost."""
    found = status(b'{"status": "IN_PROGRESS"}')
    async with running(store, emulator, Reply(404), found) as (pipeline, job, _):
        later = 6 * 60_000
        assert await pipeline.poll(job.id, later_ms=later) is not None
        assert (await pipeline.job(job.id)).misses == 1
        assert await pipeline.poll(job.id, later_ms=later) is not None
        now = await pipeline.job(job.id)
        assert (now.status, now.misses) == (Status.RUNNING, 0)


async def test_a_request_that_fal_forgot_is_disputed(store: RedisServer, emulator: Emulator) -> None:
    """404 for two minutes and many polls, and no result either: failed, and whether it was charged is unknown."""
    lost = [Reply(404)] * 40
    async with running(store, emulator, *lost) as (pipeline, job, _):
        for _ in range(MAX_MISSING_POLLS + 5):
            assert await pipeline.poll(job.id) is not None  # within the grace period, however often
        assert await pipeline.poll(job.id, later_ms=MISSING_GRACE_MS + 1000) is None
        ended = await pipeline.finalized(job.id)
        assert (ended.status, ended.money) == (Status.FAILED, Money.DISPUTED)
        assert ended.error is not None
        assert ended.error.code == "result_unavailable"


@pytest.mark.parametrize("tag", ["stuck_in_queue", "stuck_in_progress"])
async def test_a_running_job_past_its_deadline_is_cancelled_at_fal(pipeline: Pipeline, tag: str) -> None:
    """Fal's answer decides the end; whether it charged is unknown."""
    job = await pipeline.bought(f"[emu:{tag}]", deadline=60)
    assert await pipeline.poll(job.id) is not None
    request_id = job.upstream_request_id or ""
    assert (await pipeline.stack.emulator.request(request_id))["cancelled"] is False
    await pipeline.completed(job.id, later_ms=61_000)
    ended = await pipeline.finalized(job.id)
    assert (await pipeline.stack.emulator.request(request_id))["cancelled"] is True
    assert (ended.status, ended.money) == (Status.FAILED, Money.DISPUTED)
    assert ended.error is not None
    assert ended.error.code == "deadline_exceeded"
    assert await pipeline.money() == (PRICE, 0)
    assert await pipeline.slot(job.id) is None


async def test_fal_is_asked_to_cancel_now_and_then_and_not_at_every_poll(
    store: RedisServer, emulator: Emulator
) -> None:
    """Once, and again after half a minute if it still runs; an outage does not count as a request."""
    still = status(b'{"status": "IN_PROGRESS"}')

    async def nonsense(writer: Any) -> None:
        writer.write(b"this is not HTTP\r\n\r\n")
        await writer.drain()

    answers: list[Answer] = [nonsense, still, Reply(202), still, still, Reply(202), still]
    async with running(store, emulator, *answers) as (pipeline, job, fal):
        await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
        for later_ms in (0, 0, 0, 31_000):
            assert await pipeline.poll(job.id, later_ms=later_ms) is not None
        assert [request.method for request in fal.requests] == [
            "POST",
            "PUT",
            "GET",
            "PUT",
            "GET",
            "GET",
            "PUT",
            "GET",
        ]
        assert fal.requests[1].target == "/fal-ai/kling-video/requests/abc-1/cancel"


async def test_a_job_that_no_longer_runs_is_not_polled(pipeline: Pipeline) -> None:
    """A poll task that runs twice changes nothing, and asks fal nothing."""
    job = await pipeline.bought()
    await pipeline.completed(job.id)
    polls = (await pipeline.stack.emulator.request(job.upstream_request_id or ""))["polls"]
    assert await pipeline.poll(job.id) is None
    assert (await pipeline.stack.emulator.request(job.upstream_request_id or ""))["polls"] == polls


# --- waiting too long in line -------------------------------------------------------------------------------------


async def test_a_job_that_did_not_start_in_time_fails_free(pipeline: Pipeline) -> None:
    """Its start deadline passed in line: it was never bought (contract, two clocks)."""
    before = await pipeline.posts()
    job_id = await pipeline.admit(start_deadline=60)
    await pipeline.write(job_id, start_deadline_ms=1)
    job = await pipeline.expire(job_id)
    assert (job.status, job.money) == (Status.FAILED, Money.RELEASED)
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("start_timeout", True)
    assert await pipeline.money() == (0, 0)
    assert len(await pipeline.gateway.stores.slots.grant()) == 0
    assert await pipeline.posts() == before


@pytest.mark.parametrize("waiting", ["in line", "later", "granted"])
async def test_a_job_past_its_deadline_in_line_fails_free(pipeline: Pipeline, waiting: str) -> None:
    """Wherever it waits: in line, paused outside of it, or with a slot that is not claimed yet."""
    if waiting == "later":
        job_id = (await pipeline.bought("[emu:429_direct]")).id
    else:
        job_id = await (pipeline.grant() if waiting == "granted" else pipeline.admit())
    await pipeline.write(job_id, deadline_ms=1)
    job = await pipeline.expire(job_id)
    assert (job.status, job.money) == (Status.FAILED, Money.RELEASED)
    assert job.error is not None
    assert job.error.code == "deadline_exceeded"
    counts = await pipeline.gateway.stores.due.counts()
    assert {name: number for name, number in counts.items() if number} == {}


async def test_the_clock_does_not_end_a_job_that_is_being_bought(pipeline: Pipeline) -> None:
    """In submitting, the POST decides."""
    job_id = await pipeline.grant()
    await pipeline.store.claim(await pipeline.job(job_id))
    await pipeline.write(job_id, deadline_ms=1)
    assert (await pipeline.expire(job_id)).status is Status.SUBMITTING


async def test_a_job_refused_after_its_start_deadline_fails_free(pipeline: Pipeline) -> None:
    """The clock ran out during the submission and fal refused it temporarily: it does not wait for the deadline."""
    job_id = await pipeline.grant(start_deadline=60)
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    await pipeline.write(job_id, start_deadline_ms=1)
    await pipeline.expire(job_id)
    assert await pipeline.store.requeue(await pipeline.job(job_id), nonce=nonce or "", wait_ms=0)
    job = await pipeline.expire(job_id)
    assert job.error is not None
    assert (job.error.code, job.money) == ("start_timeout", Money.RELEASED)
