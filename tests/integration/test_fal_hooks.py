"""fal's webhooks: a genuine one about our attempt makes a poll due or adopts; it decides nothing else."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.domain.ids import new_nonce
from app.domain.jobs import Charge, Money, Status
from app.store import keys
from app.store.records import Made
from tests.integration.fal_hooks import FAL, HookSender, hook_sender
from tests.integration.refusals import nothing_changes
from tests.support.emulator import Emulator
from tests.support.receiver import Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.signed import webhook_body
from workers.submit import submit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def fal(store: RedisServer, emulator: Emulator) -> AsyncIterator[HookSender]:
    """A gateway that polls a minute after a submission, not sooner."""
    async with hook_sender(store, emulator) as made:
        yield made


# --- a genuine one about the job's own request --------------------------------------------------------------------


async def test_a_running_job_is_polled_at_once(fal: HookSender) -> None:
    """The webhook ends the wait for the next poll, and the poll decides."""
    job = await fal.pipeline.bought()
    assert await fal.poll_in(job.id) > 50
    reply = await fal.send(await fal.marker(job.id, job.nonce), job.upstream_request_id or "")
    assert (reply.status_code, reply.content) == (204, b"")
    await fal.assert_succeeds(job, job.upstream_request_id or "")


async def test_ten_deliveries_at_once_are_one(fal: HookSender) -> None:
    """Fal repeats itself: the job becomes due once, and gets no event for it."""
    job = await fal.pipeline.bought()
    marker, body = await fal.marker(job.id, job.nonce), webhook_body(job.upstream_request_id or "")
    headers = FAL.headers(job.upstream_request_id or "", body)
    events = len(await fal.pipeline.job_events())
    replies = await asyncio.gather(*(fal.post(marker, headers, body) for _ in range(10)))
    assert {reply.status_code for reply in replies} == {204}
    assert await fal.pipeline.job(job.id) == job
    assert await fal.pipeline.due("poll") == [fal.pipeline.ref(job.id)]
    assert len(await fal.pipeline.job_events()) == events
    await fal.assert_succeeds(job, job.upstream_request_id or "")


async def test_an_early_delivery_ends_nothing(fal: HookSender) -> None:
    """The webhook says that it has ended, the status says it has not: the job keeps running."""
    job = await fal.pipeline.bought("[emu:slow]")
    body = webhook_body(job.upstream_request_id or "")
    assert (await fal.send(await fal.marker(job.id, job.nonce), job.upstream_request_id or "")).status_code == 204
    assert await fal.pipeline.poll(job.id) is not None
    assert (await fal.pipeline.job(job.id)).status is Status.RUNNING
    assert b"OK" in body


async def test_the_poll_wins_over_an_error_in_a_webhook(fal: HookSender) -> None:
    """The result is a success, early or late; the webhook's contradiction is an alarm."""
    job = await fal.pipeline.bought()
    request_id = job.upstream_request_id or ""
    body = webhook_body(
        request_id, status="ERROR", error="Invalid status code: 500", payload={"detail": "Internal"}
    )
    marker = await fal.marker(job.id, job.nonce)
    assert (await fal.send(marker, request_id, body=body)).status_code == 204
    await fal.pipeline.completed(job.id)
    assert (await fal.pipeline.finalized(job.id)).status is Status.SUCCEEDED
    expected = ("webhook_differs", job.id, request_id)
    assert [(one.kind, one.job, one.upstream_request_id) for one in await fal.alarms()] == [expected]
    assert (await fal.send(marker, request_id, body=body)).status_code == 204  # and again, after the end
    assert [one.kind for one in await fal.alarms()] == ["webhook_differs"]


async def test_an_error_in_a_webhook_while_the_result_is_read_is_seen(fal: HookSender) -> None:
    """The end is written by a step that read the job before the webhook came."""
    job = await fal.pipeline.bought()
    await fal.pipeline.completed(job.id)
    read = await fal.pipeline.job(job.id)
    body = webhook_body(job.upstream_request_id or "", status="ERROR", error="500", payload={"detail": "Internal"})
    marker = await fal.marker(job.id, job.nonce)
    assert (await fal.send(marker, job.upstream_request_id or "", body=body)).status_code == 204
    finish = partial(fal.pipeline.store.finish, charge=Charge.SPEND, error=None, made=Made(output={"video": {}}))
    assert await finish(read, Status.SUCCEEDED) == "told_failed"
    assert (await fal.pipeline.job(job.id)).status is Status.SUCCEEDED
    assert await finish(read, Status.SUCCEEDED) == ""


@pytest.mark.parametrize("end", ["", "[emu:500_downstream]", "cancelled"])
async def test_after_the_end_nothing_changes(fal: HookSender, end: str) -> None:
    """Succeeded, failed or cancelled: the first delivery comes two hours late, and is answered 204."""
    job = await fal.pipeline.bought(end if end != "cancelled" else "[emu:slow]")
    if end == "cancelled":
        await fal.pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    await fal.pipeline.completed(job.id)
    ended = await fal.pipeline.finalized(job.id)
    assert ended.status is {"": Status.SUCCEEDED, "cancelled": Status.CANCELED}.get(end, Status.FAILED)
    await fal.pipeline.write(job.id, completed_ms=(ended.completed_ms or 0) - 7_200_000)
    marker = await fal.marker(job.id, job.nonce)
    async with nothing_changes(fal.pipeline.stack):
        assert (await fal.send(marker, job.upstream_request_id or "")).status_code == 204
        old = await fal.send(marker, job.upstream_request_id or "", at=1_767_225_600)
        assert old.status_code == 401
    assert await fal.alarms() == []


async def test_a_job_that_is_being_cancelled_is_polled_at_once(fal: HookSender) -> None:
    """Fal's answer decides: here it was done before the cancel came."""
    job = await fal.pipeline.bought("[emu:cancel_ignored]")
    await fal.pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")
    await fal.send(await fal.marker(job.id, job.nonce), job.upstream_request_id or "")
    await fal.assert_succeeds(job, job.upstream_request_id or "")


# --- an attempt whose outcome is unknown --------------------------------------------------------------------------


async def test_a_held_job_is_adopted(fal: HookSender) -> None:
    """Its webhook shows that fal has it: the job runs with fal's id, and is charged once."""
    job = await fal.pipeline.bought("[emu:submit_502_accepted]")
    assert job.status is Status.HELD
    prompt = (job.input or {})["prompt"]
    bought = [one for one in await fal.pipeline.stack.emulator.requests() if one["prompt"] == prompt]
    assert (await fal.send(await fal.marker(job.id, job.nonce), bought[0]["request_id"])).status_code == 204
    assert (await fal.pipeline.job(job.id)).held_reason is None
    assert await fal.pipeline.redis.zcard(keys.HELD) == 0
    await fal.assert_succeeds(job, bought[0]["request_id"])
    charges = (await fal.pipeline.stack.emulator.ledger())["charges"]
    assert len([charge for charge in charges if charge["prompt"] == prompt]) == 1


async def test_a_held_job_takes_the_request_of_an_attempt_that_the_store_forgot(fal: HookSender) -> None:
    """The store lost the claim that the marker names: the bought request is adopted, not cancelled."""
    job = await fal.pipeline.bought("[emu:submit_500]")
    assert job.status is Status.HELD
    request_id = await fal.at_fal(f"[emu:run:0.3] forgotten {job.id}")
    assert (await fal.send(await fal.marker(job.id, new_nonce()), request_id)).status_code == 204
    assert (await fal.pipeline.job(job.id)).nonce == job.nonce
    assert await fal.alarms() == []
    await fal.assert_succeeds(job, request_id)


async def test_a_webhook_before_the_answer_to_the_submission(store: RedisServer, emulator: Emulator) -> None:
    """The worker still waits for the answer; its own adoption then is a no-op: no orphan, no cancellation."""
    answers = asyncio.Event()
    answer = held(Reply(200, body=b'{"request_id": "abc-1"}'), until=answers)
    async with (
        Receiver() as queue,
        hook_sender(store, emulator, FILMGATE_FAL_QUEUE_URL=queue.url) as fal,
    ):
        queue.answers([answer])
        job_id = await fal.pipeline.grant()
        submitting = asyncio.create_task(submit(fal.pipeline.gateway, fal.pipeline.ref(job_id)))
        await queue.wait_for(1)
        job = await fal.pipeline.job(job_id)
        assert job.status is Status.SUBMITTING
        marker = await fal.marker(job_id, job.nonce)
        replies = await asyncio.gather(*(fal.send(marker, "abc-1") for _ in range(10)))
        assert {reply.status_code for reply in replies} == {204}
        assert not submitting.done()
        early = await fal.pipeline.job(job_id)
        assert (early.status, early.upstream_request_id, early.attempt) == (Status.RUNNING, "abc-1", 1)
        assert await fal.poll_in(job_id) <= 0
        answers.set()
        await submitting
        assert await fal.pipeline.job(job_id) == early
        assert [request.method for request in queue.requests] == ["POST"]
        assert await fal.alarms() == []
        assert [event.type for event in await fal.pipeline.job_events()].count("job.running") == 1


async def refused(fal: HookSender) -> tuple[str, str]:
    """Waiting, because fal answered 429; the id, and the nonce of the attempt."""
    job_id = await fal.pipeline.grant()
    nonce = await fal.pipeline.store.claim(await fal.pipeline.job(job_id))
    assert await fal.pipeline.store.requeue(await fal.pipeline.job(job_id), nonce=nonce or "", wait_ms=60_000)
    return job_id, nonce or ""


@pytest.mark.parametrize("waiting", ["in line", "granted", "later"])
async def test_a_queued_job_that_fal_has_is_not_bought_again(fal: HookSender, waiting: str) -> None:
    """A restored store lost the claim, or a refusal was wrong: the marker is enough proof."""
    if waiting == "later":
        job_id, nonce = await refused(fal)
    else:
        job_id, nonce = await (fal.pipeline.grant() if waiting == "granted" else fal.pipeline.admit()), new_nonce()
    job = await fal.pipeline.job(job_id)
    assert job.status is Status.QUEUED
    request_id = await fal.at_fal(f"{waiting} {job_id}")
    posts = await fal.pipeline.posts()
    marker = await fal.marker(job_id, nonce)
    replies = await asyncio.gather(*(fal.send(marker, request_id) for _ in range(10)))
    assert {reply.status_code for reply in replies} == {204}
    assert (await fal.pipeline.job(job_id)).nonce == nonce
    assert len(await fal.pipeline.gateway.stores.slots.grant()) == 0
    assert await fal.pipeline.redis.zcard(keys.LINE) == await fal.pipeline.redis.zcard(keys.LATER) == 0
    await submit(fal.pipeline.gateway, fal.pipeline.ref(job_id))  # a task enqueued before
    assert await fal.pipeline.due("submit") == []
    await fal.assert_succeeds(job, request_id)
    assert await fal.pipeline.posts() == posts


async def test_a_job_that_changes_while_it_is_adopted_is_read_again(fal: HookSender) -> None:
    """Read as submitting, requeued before the write: adopted from there, and no orphan."""
    job_id = await fal.pipeline.grant()
    nonce = await fal.pipeline.store.claim(await fal.pipeline.job(job_id)) or ""
    seen = await fal.pipeline.job(job_id)
    assert await fal.pipeline.store.requeue(seen, nonce=nonce, wait_ms=0)
    request_id = await fal.at_fal(f"changes {job_id}")
    own = fal.pipeline.gateway
    assert await own.adoption.adopt(seen, nonce, request_id)
    assert await own.adoption.adopt(seen, nonce, request_id)  # another process was faster
    await fal.assert_succeeds(seen, request_id)


# --- a request that is not the job's ------------------------------------------------------------------------------


async def assert_orphan(fal: HookSender, job_id: str, request_id: str) -> None:
    """It is cancelled at fal, and there is one alarm."""
    assert (await fal.pipeline.stack.emulator.request(request_id))["cancelled"] is True
    alarms = await fal.alarms()
    assert [(alarm.kind, alarm.job, alarm.upstream_request_id) for alarm in alarms] == [
        ("orphan", job_id, request_id)
    ]


async def test_a_second_request_of_a_running_job_is_an_orphan(fal: HookSender) -> None:
    """Fal duplicated it: one is the job's, the other is cancelled, with one alarm however often fal sends it."""
    job = await fal.pipeline.bought()
    second = await fal.at_fal(f"[emu:slow] second {job.id}")
    for _ in range(3):
        assert (await fal.send(await fal.marker(job.id, job.nonce), second)).status_code == 204
    await assert_orphan(fal, job.id, second)
    assert await fal.pipeline.job(job.id) == job
    assert await fal.poll_in(job.id) > 50
    await fal.pipeline.completed(job.id)
    assert (await fal.pipeline.finalized(job.id)).money is Money.SPENT


async def test_an_older_attempt_of_a_job_that_is_being_bought_is_an_orphan(fal: HookSender) -> None:
    """The nonce is the fence: the second attempt is unchanged."""
    job_id, nonce = await refused(fal)
    await fal.pipeline.redis.zadd(keys.LATER, {fal.pipeline.ref(job_id): 1})
    await fal.pipeline.gateway.stores.slots.grant()
    assert await fal.pipeline.store.claim(await fal.pipeline.job(job_id))
    second = await fal.pipeline.job(job_id)
    request_id = await fal.at_fal(f"[emu:slow] older {job_id}")
    assert (await fal.send(await fal.marker(job_id, nonce), request_id)).status_code == 204
    await assert_orphan(fal, job_id, request_id)
    assert await fal.pipeline.job(job_id) == second


async def test_a_request_of_a_job_that_was_never_bought_is_an_orphan(fal: HookSender) -> None:
    """Cancelled in line, free of charge, yet fal has a request for it: an alarm."""
    job_id = await fal.pipeline.admit()
    assert (await fal.pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    ended = await fal.pipeline.job(job_id)
    request_id = await fal.at_fal(f"[emu:slow] never {job_id}")
    assert (await fal.send(await fal.marker(job_id, new_nonce()), request_id)).status_code == 204
    await assert_orphan(fal, job_id, request_id)
    assert await fal.pipeline.job(job_id) == ended
