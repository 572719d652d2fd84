"""Cancel and the two clocks, in every state a job can be in (contract, section 3)."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from app.domain.jobs import Job, Money, Status
from tests.integration.admin import NEVER, Administrator
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.submit import _record

pytestmark = pytest.mark.anyio
RUNS = "[emu:run:0.5]"
RUNS_ON = "[emu:run:600]"  # until fal is asked to cancel


@dataclass(frozen=True)
class End:
    """The job's end state, error and money, and whether fal is asked to cancel."""

    status: Status
    code: str | None
    money: Money
    cancels: bool = False


FREE = End(Status.CANCELED, "canceled", Money.RELEASED)
LATE = End(Status.FAILED, "deadline_exceeded", Money.RELEASED)
NOT_STARTED = End(Status.FAILED, "start_timeout", Money.RELEASED)
STOPPED = End(Status.CANCELED, "canceled", Money.DISPUTED, cancels=True)
TOO_LONG = End(Status.FAILED, "deadline_exceeded", Money.DISPUTED, cancels=True)
HELD = End(Status.HELD, None, Money.RESERVED)
MADE = End(Status.SUCCEEDED, None, Money.SPENT)

TABLE: dict[str, tuple[End, End, End]] = {  # state: cancel, deadline passed, start deadline passed
    "in line": (FREE, LATE, NOT_STARTED),
    "put off": (FREE, LATE, NOT_STARTED),
    "granted": (FREE, LATE, NOT_STARTED),
    "submitting": (STOPPED, TOO_LONG, MADE),
    "held": (HELD, HELD, HELD),
    "running": (STOPPED, TOO_LONG, MADE),
    "finalizing": (MADE, MADE, MADE),
    "succeeded": (MADE, MADE, MADE),
}
EVENTS = ("cancel", "deadline", "start deadline")
ROWS = [(state, event, end) for state, ends in TABLE.items() for event, end in zip(EVENTS, ends, strict=True)]
LIVE = [state for state in TABLE if state != "succeeded"]


async def bring_to(pipeline: Pipeline, state: str, runs: str = RUNS) -> str:
    """A job in this state, with both clocks far in the future."""
    clocks = {"deadline": 3600, "start_deadline": 3000}
    if state == "in line":
        return await pipeline.admit(runs, **clocks)
    if state == "put off":
        return (await pipeline.bought(f"{runs}[emu:429_direct:1]", **clocks)).id
    if state == "held":
        return (await pipeline.bought("[emu:submit_502_nginx]", **clocks)).id
    job_id = await pipeline.grant(runs, **clocks)
    if state == "submitting":
        assert await pipeline.store.claim(await pipeline.job(job_id))
    if state in {"running", "finalizing", "succeeded"}:
        await pipeline.submit(job_id)
    if state in {"finalizing", "succeeded"}:
        await pipeline.completed(job_id)
    if state == "succeeded":
        await pipeline.finalized(job_id)
    return job_id


async def happens(pipeline: Pipeline, job_id: str, event: str) -> None:
    """The caller cancels, or one of the clocks runs out."""
    if event == "cancel":
        ended = (await pipeline.job(job_id)).status.ended
        reply = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
        assert reply.status_code == (409 if ended else 202)
    else:
        await pipeline.write(job_id, **{f"{event.replace(' ', '_')}_ms": 1})


async def answered(pipeline: Pipeline, job: Job) -> None:
    """The submission's POST returns: fal has the job."""
    outcome = await pipeline.gateway.fal.submit(
        job.model, job.input or {}, start_timeout=None, marker="m", webhook_url=None
    )
    await _record(pipeline.gateway, job, job.nonce or "", outcome)


async def pushed(pipeline: Pipeline, job_id: str) -> Job:
    """The job after the workers have done everything; an early task runs before the housekeeping."""
    job = await pipeline.job(job_id)
    if job.status is Status.SUBMITTING:
        assert (await pipeline.expire(job_id)).status is Status.SUBMITTING
        await answered(pipeline, job)
    for _ in range(200):
        await pipeline.submit(job_id)
        job = await pipeline.expire(job_id)
        if job.status is Status.RUNNING and await pipeline.poll(job_id) is not None:
            await asyncio.sleep(0.05)
        elif job.status is Status.FINALIZING:
            await pipeline.finalize(job_id)
        elif job.status.ended or job.status is Status.HELD:
            return job
    raise AssertionError(f"{job_id} is {job.status} for ever")


@pytest.mark.parametrize(("state", "event", "end"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
async def test_each_state_ends_as_the_contract_says(pipeline: Pipeline, state: str, event: str, end: End) -> None:
    """Not bought yet: it ends free. Running: fal is asked, and its answer decides. Held: it stays held."""
    job_id = await bring_to(pipeline, state, RUNS_ON if end.cancels else RUNS)
    before = await pipeline.posts()
    await happens(pipeline, job_id, event)
    job = await pushed(pipeline, job_id)
    assert (job.status, job.error.code if job.error else None, job.money) == (end.status, end.code, end.money)
    assert await pipeline.posts() == before + (state == "submitting")
    if job.upstream_request_id is not None:
        assert (await pipeline.stack.emulator.request(job.upstream_request_id))["cancelled"] is end.cancels
    else:
        assert not end.cancels


@pytest.mark.parametrize("state", LIVE)
async def test_a_cancel_can_be_repeated(pipeline: Pipeline, state: str) -> None:
    """In every live state it is 202 with its time; a second one changes nothing, and a free end is final."""
    job_id = await bring_to(pipeline, state)
    first = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    second = await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert first.status_code == 202
    shown: dict[str, Any] = first.json()
    if shown["status"] == "canceled":
        assert (second.status_code, second.json()["code"]) == (409, "already_ended")
    else:
        assert (second.status_code, second.json()["status"]) == (202, shown["status"])
        assert second.json()["cancel_requested_at"] == shown["cancel_requested_at"] is not None


@pytest.mark.parametrize(("state", "end"), [("in line", FREE), ("running", STOPPED), ("held", HELD)])
async def test_an_administrator_cancels_any_teams_job(
    admin: Administrator, pipeline: Pipeline, state: str, end: End
) -> None:
    """It ends as by its caller's cancel; the audit log has whose it was and its state, and 202 shows it."""
    job_id = await bring_to(pipeline, state, RUNS_ON)
    before = await pipeline.job(job_id)
    reply = await admin.call("POST", f"jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["id"]) == (202, job_id)
    assert (reply.json()["held_at"] is not None) is (state == "held")
    assert (reply.json()["cancel_requested_at"] is None) is (state == "in line")
    line, *_ = await admin.audit()
    assert (line["actor"], line["action"], line["target"]) == ("administrator", "job.cancel", job_id)
    assert line["details"] == {"team": before.team, "user": before.user, "status": before.status.value}
    job = await pushed(pipeline, job_id)
    assert (job.status, job.error.code if job.error else None, job.money) == (end.status, end.code, end.money)
    assert await pipeline.money() == ((0, 0) if end is FREE else (job.quoted_micro, 0))
    if job.upstream_request_id is not None:
        assert (await pipeline.stack.emulator.request(job.upstream_request_id))["cancelled"] is end.cancels


async def test_an_administrator_cancels_no_ended_job_and_a_user_nothing_there(
    admin: Administrator, pipeline: Pipeline
) -> None:
    """409 without a line in the audit log, 404 for no job, 403 for a key of a user, also of the job's own."""
    ended, live = (await pipeline.ended()).id, await pipeline.admit()
    async with nothing_changes(pipeline.stack):
        assert_problem(await admin.call("POST", f"jobs/{ended}/cancel"), 409, "already_ended")
        assert_problem(await admin.call("POST", f"jobs/job_{NEVER}/cancel"), 404, "not_found")
        reply = await pipeline.stack.api.post(f"/v1/admin/jobs/{live}/cancel")
        assert_problem(reply, 403, "forbidden")


async def test_a_cancelled_job_that_succeeds_is_charged(pipeline: Pipeline) -> None:
    """The cancel came after fal's end, or fal ignored it: fal's answer decides (U26)."""
    job = await pipeline.bought("[emu:cancel_ignored][emu:run:0.3]")
    await happens(pipeline, job.id, "cancel")
    ended = await pushed(pipeline, job.id)
    assert (ended.status, ended.money) == (Status.SUCCEEDED, Money.SPENT)
    assert ended.cancel_requested_ms is not None


async def test_a_held_job_sent_again_with_its_cancel_wanted_ends_free(pipeline: Pipeline) -> None:
    """The operator says that fal has nothing, so it ends at once, unbought, and its caller gets the event."""
    job_id = await bring_to(pipeline, "held")
    await happens(pipeline, job_id, "cancel")
    resolved = await pipeline.gateway.operations.resolve("test", job_id, "resubmit")
    found = (resolved.status, resolved.error.code if resolved.error else None, resolved.money)
    assert found == (FREE.status, FREE.code, FREE.money)
    assert [event.type for event in await pipeline.job_events()][-2:] == ["job.held", "job.canceled"]
    assert await pipeline.money() == (0, 0)
    counts = await pipeline.gateway.stores.due.counts()
    assert {name: number for name, number in counts.items() if number} == {}


async def test_a_job_in_line_with_its_cancel_wanted_is_not_called_late(pipeline: Pipeline) -> None:
    """For one that an older version requeued: its deadline comes first, and it is canceled all the same."""
    job_id = await pipeline.admit()
    await pipeline.write(job_id, cancel_requested_ms=5, deadline_ms=1)
    job = await pipeline.expire(job_id)
    found = (job.status, job.error.code if job.error else None, job.money)
    assert found == (FREE.status, FREE.code, FREE.money)


@pytest.mark.parametrize("status", [401, 429])
async def test_a_cancelled_job_that_fal_refused_ends_free_at_once(
    store: RedisServer, emulator: Emulator, status: int
) -> None:
    """Its caller cancelled during the submission: it is not requeued, and nothing is posted again."""
    async with Receiver() as queue, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=queue.url) as stack:
        answers = asyncio.Event()
        queue.answers([held(Reply(status, body=b'{"detail": "no"}'), until=answers)])
        pipeline = Pipeline(stack)
        job_id = await pipeline.grant()
        submitting = asyncio.create_task(pipeline.submit(job_id))
        await queue.wait_for(1)
        reply = await stack.api.post(f"/v1/jobs/{job_id}/cancel")
        assert (reply.status_code, reply.json()["status"]) == (202, "submitting")
        answers.set()
        job = await submitting
        assert (job.status, job.money) == (Status.CANCELED, Money.RELEASED)
        assert job.error is not None
        assert job.error.code == "canceled"
        assert await pipeline.money() == (0, 0)
        assert len(queue.requests) == 1
