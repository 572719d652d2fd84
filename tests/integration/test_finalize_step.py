"""The finalize step: fal's result decides status and money together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.domain.jobs import Job, Money, Status
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.receiver import Answer, Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.finalize import MAX_READS, finalize

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
CLIP = Reply(200, body=b'{"video": {"url": "https://v3.fal.media/files/a/output.mp4", "file_size": 7}}')


@asynccontextmanager
async def completed(
    store: RedisServer, emulator: Emulator, *answers: Answer
) -> AsyncIterator[tuple[Pipeline, Job, Receiver]]:
    """A job that fal reports as completed, and this answer as its result."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers(
            [Reply(200, body=b'{"request_id": "abc-1"}'), Reply(200, body=b'{"status": "COMPLETED"}'), *answers]
        )
        pipeline = Pipeline(stack)
        job = await pipeline.bought()
        yield pipeline, await pipeline.completed(job.id), fal


async def test_a_success_names_its_clip_and_for_how_long(pipeline: Pipeline) -> None:
    """Output, times, the model's duration for estimates, and nothing left to do."""
    job = await pipeline.ended()
    assert job.status is Status.SUCCEEDED
    video = (job.output or {})["video"]
    assert video["url"].startswith(pipeline.stack.emulator.url)
    assert video["content_type"] == "video/mp4"
    assert (job.expires_ms or 0) - (job.completed_ms or 0) == pytest.approx(7 * DAY_MS, abs=5000)
    assert len(await pipeline.gateway.stores.line.durations(job.model)) == 1
    counts = await pipeline.gateway.stores.due.counts()
    assert {name: number for name, number in counts.items() if number} == {}


@pytest.mark.parametrize(
    ("tag", "code", "money"),
    [
        ("result_expired", "result_unavailable", Money.SPENT),
        ("result_no_url", "bad_upstream_result", Money.SPENT),
        ("result_foreign_url", "bad_upstream_result", Money.SPENT),
        ("result_huge", "bad_upstream_result", Money.SPENT),
        ("500_downstream", "upstream_error", Money.RELEASED),
        ("503_runner_disconnected", "upstream_error", Money.RELEASED),
        ("504_request_timeout", "upstream_error", Money.RELEASED),
        ("422_image_load", "upstream_rejected_input", Money.DISPUTED),
        ("422_one_of", "upstream_rejected_input", Money.DISPUTED),
        ("422_content_policy", "upstream_rejected_input", Money.DISPUTED),
    ],
)
async def test_each_failure_has_its_code_and_its_money(
    pipeline: Pipeline, tag: str, code: str, money: Money
) -> None:
    """With fal's message, shortened, and without the input that fal repeats."""
    job = await pipeline.ended(f"[emu:{tag}] secret-prompt")
    assert (job.status, job.money) == (Status.FAILED, money)
    assert job.error is not None
    assert job.error.code == code
    assert "secret-prompt" not in str(job.error)
    assert job.output is None


async def test_an_error_beside_a_success_is_a_success(pipeline: Pipeline) -> None:
    """The result decides, not a word in the status."""
    assert (await pipeline.ended("[emu:completed_with_error]")).status is Status.SUCCEEDED


async def test_a_job_that_fal_did_not_start_in_time_says_so(pipeline: Pipeline) -> None:
    """Fal's 504 for our start deadline: start_timeout, free, and a new submission may succeed."""
    job = await pipeline.ended("[emu:504_user_timeout]", start_deadline=600)
    assert job.error is not None
    assert (job.error.code, job.error.retryable, job.money) == ("start_timeout", True, Money.RELEASED)


@pytest.mark.parametrize("status", [404, 410, 500, 502, 503])
async def test_a_result_that_is_lost_for_a_moment_is_read_again(
    store: RedisServer, emulator: Emulator, status: int
) -> None:
    """Three misses are tolerated; the fourth read finds the clip."""
    miss = Reply(status, body=b"<html>nginx</html>")
    async with completed(store, emulator, *[miss] * MAX_READS, CLIP) as (pipeline, job, _):
        for misses in range(1, MAX_READS + 1):
            now = await pipeline.finalize(job.id)
            assert (now.status, now.misses) == (Status.FINALIZING, misses)
        assert (await pipeline.finalize(job.id)).status is Status.SUCCEEDED


@pytest.mark.parametrize("status", [404, 410, 502])
async def test_a_result_that_stays_lost_is_spent(store: RedisServer, emulator: Emulator, status: int) -> None:
    """Fal completed it, and no answer of fal's contradicts it: a load balancer's page is no answer of fal's."""
    miss = Reply(status, body=b"<html>nginx</html>")
    async with completed(store, emulator, *[miss] * (MAX_READS + 1)) as (pipeline, job, fal):
        ended = await pipeline.finalized(job.id)
        assert (ended.status, ended.money) == (Status.FAILED, Money.SPENT)
        assert ended.error is not None
        assert ended.error.code == "result_unavailable"
        assert len(fal.requests) == 2 + MAX_READS + 1


@pytest.mark.parametrize(
    "answer",
    [
        Reply(401, body=b'{"detail": "bad key"}'),
        Reply(403, body=b'{"detail": "User is locked."}'),
        Reply(429),
        Reply(302, {"Location": "http://127.0.0.1:9/"}),
        Reply(400, body=b'{"detail": "Request is still in progress"}'),
    ],
    ids=["401", "403", "429", "302", "pending"],
)
async def test_an_answer_that_is_not_about_the_job_ends_nothing(
    store: RedisServer, emulator: Emulator, answer: Reply
) -> None:
    """A locked account, a busy fal, a redirect: repeated as long as needed, and the clip is not lost."""
    async with completed(store, emulator, *[answer] * 6, CLIP) as (pipeline, job, _):
        for _ in range(6):
            now = await pipeline.finalize(job.id)
            assert (now.status, now.misses) == (Status.FINALIZING, 0)
        assert (await pipeline.finalize(job.id)).status is Status.SUCCEEDED


async def test_an_outage_during_the_read_is_no_fault_of_the_jobs(store: RedisServer, emulator: Emulator) -> None:
    """A read without an answer is repeated and not counted."""

    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is not HTTP\r\n\r\n")
        await writer.drain()

    async with completed(store, emulator, *[nonsense] * 5, CLIP) as (pipeline, job, _):
        for _ in range(5):
            assert (await pipeline.finalize(job.id)).misses == 0
        assert (await pipeline.finalize(job.id)).status is Status.SUCCEEDED


async def test_many_finalize_tasks_read_once_at_a_time(store: RedisServer, emulator: Emulator) -> None:
    """While one worker reads, the others leave the job alone; a late task finds nothing to do."""
    slow = Reply(200, body=CLIP.body, delay=0.3)
    async with completed(store, emulator, slow) as (pipeline, job, fal):
        await asyncio.gather(*(finalize(pipeline.gateway, pipeline.ref(job.id)) for _ in range(8)))
        assert (await pipeline.job(job.id)).status is Status.SUCCEEDED
        assert len(fal.requests) == 3
        await finalize(pipeline.gateway, pipeline.ref(job.id))
        assert await pipeline.entries(job.id) == ["reserve", "settle"]
        assert await pipeline.due("finalize") == []


async def test_a_read_that_is_put_off_is_due_again_soon(store: RedisServer, emulator: Emulator) -> None:
    """After two seconds by the store's clock; a worker that dies in the middle delays it by 45 s at most."""
    async with completed(store, emulator, Reply(404)) as (pipeline, job, _):
        await pipeline.finalize(job.id)
        due_ms = await pipeline.redis.zscore(keys.due("finalize"), pipeline.ref(job.id))
        assert due_ms - await pipeline.gateway.stores.clock.now_ms() <= 2000


async def test_a_request_that_fal_cancelled_by_itself_is_not_called_late(pipeline: Pipeline) -> None:
    """Nobody here requested it, and the deadline is far away: it is fal's failure, and perhaps charged."""
    job = await pipeline.bought("[emu:slow]")
    assert await pipeline.gateway.fal.cancel(job.model, job.upstream_request_id or "")
    await pipeline.completed(job.id)
    ended = await pipeline.finalized(job.id)
    assert (ended.status, ended.money) == (Status.FAILED, Money.DISPUTED)
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("upstream_error", True)
    assert "nobody here asked for it" in ended.error.message
