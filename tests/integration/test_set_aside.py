"""A step that fails repeatedly is quarantined: its slot is free, and a person or its deadline ends its job."""

from typing import Any

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.jobs import Job, Money, Status
from app.store import keys
from app.store.jobs import GIVE_UP_MS
from app.store.quarantine import MAX_FAILURES, Quarantined
from tests.integration.admin import Administrator
from tests.integration.refusals import assert_problem
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
POISON = "no/id"  # no URL can be built from it, so every read fails


async def fails(pipeline: Pipeline, step: str, job: Job, seen: type[Exception]) -> None:
    """Fail the step once on the job, with an exception of type `seen`."""
    with pytest.raises(seen):
        async with pipeline.gateway.stores.quarantine.counting_failures(step, pipeline.ref(job.id)):
            raise ZeroDivisionError


async def set_aside(pipeline: Pipeline, step: str, job: Job) -> None:
    """Fail the step on the job until no worker acquires it any more."""
    ref = pipeline.ref(job.id)
    for _ in range(MAX_FAILURES - 1):
        await fails(pipeline, step, job, ZeroDivisionError)
        assert await pipeline.gateway.stores.quarantine.steps() == []
    await fails(pipeline, step, job, Quarantined)
    assert [row[:2] for row in await pipeline.gateway.stores.quarantine.steps()] == [(step, ref)]
    assert await pipeline.slot(job.id) is None


async def in_state(pipeline: Pipeline, status: Status) -> Job:
    """A job with a step that can be quarantined."""
    job = await pipeline.job(await pipeline.grant())
    if status is not Status.QUEUED:
        job = await pipeline.submit(job.id)
    if status is Status.FINALIZING:
        job = await pipeline.completed(job.id)
    assert job.status is status
    return job


async def long_past(pipeline: Pipeline, job: Job) -> None:
    """Move the job's deadline so far into the past that it is given up."""
    past_ms = await pipeline.gateway.stores.clock.now_ms() - GIVE_UP_MS - 1
    await pipeline.write(job.id, deadline_ms=past_ms, **({"submitted_ms": past_ms} if job.submitted_ms else {}))


STEPS = {"submit": Status.QUEUED, "poll": Status.RUNNING, "finalize": Status.FINALIZING}


async def test_three_jobs_that_nobody_can_look_at_stop_nobody(
    store: RedisServer, emulator: Emulator, admin: Administrator
) -> None:
    """Real workers, all slots used by jobs whose polls fail: quarantined with an alarm, each ends in its way."""
    async with open_stack(store, emulator, FILMGATE_UPSTREAM_CONCURRENCY="3") as stack:
        pipeline = Pipeline(stack)
        poisoned = [await pipeline.bought("[emu:slow]") for _ in range(3)]
        for job in poisoned:
            await pipeline.write(job.id, upstream_request_id=POISON)
        honest = await pipeline.admit()
        async with stack.workers():

            async def all_aside() -> bool:
                for job in poisoned:  # instead of waiting until they are due again
                    await pipeline.make_due("poll", pipeline.ref(job.id))
                return len(await pipeline.gateway.stores.quarantine.steps()) == len(poisoned)

            await wait_until(all_aside, "all three are set aside", timeout=60, interval=0.3)
            await stack.until(honest, "succeeded")
            (alarm,) = await pipeline.gateway.stores.alarms.active()
            assert alarm.kind == "quarantined"
            assert alarm.job in {job.id for job in poisoned}
            mended, failed, late = poisoned
            assert await pipeline.money() == (3 * PRICE, PRICE)

            await pipeline.write(mended.id, upstream_request_id=mended.upstream_request_id or "")
            await pipeline.gateway.operations.release("test", mended.id)
            await pipeline.gateway.fal.cancel(mended.model, mended.upstream_request_id or "")
            await stack.until(mended.id, "failed")

            body = {"action": "fail", "charged": True}
            shown = await admin.call("POST", f"jobs/{failed.id}/resolve", body)
            assert (shown.json()["status"], shown.json()["money"]) == ("failed", "spent")

            await long_past(pipeline, late)
            await pipeline.make_due("expire", pipeline.ref(late.id))
            view = await stack.until(late.id, "failed")
            assert view["error"]["code"] == "deadline_exceeded"
            assert (await pipeline.job(late.id)).money is Money.DISPUTED
        assert await pipeline.gateway.stores.quarantine.steps() == []
        assert await pipeline.redis.zrange(keys.SLOTS, 0, -1) == []


@pytest.mark.parametrize(("step", "status"), STEPS.items())
async def test_what_is_set_aside_goes_on_when_it_is_released(pipeline: Pipeline, step: str, status: Status) -> None:
    """From its earlier state, with a slot where it needs one."""
    job = await in_state(pipeline, status)
    await set_aside(pipeline, step, job)
    await pipeline.gateway.stores.slots.grant()
    assert await pipeline.slot(job.id) is None
    assert await pipeline.gateway.stores.quarantine.release(step, pipeline.ref(job.id))
    assert await pipeline.gateway.stores.quarantine.steps() == []
    if status is Status.QUEUED:
        await pipeline.gateway.stores.slots.grant()
        job = await pipeline.submit(job.id)
        assert job.status is Status.RUNNING
    if status is not Status.FINALIZING:
        assert await pipeline.slot(job.id) is not None
        await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.SUCCEEDED


@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize(("step", "status"), STEPS.items())
async def test_a_person_may_fail_what_is_set_aside(
    pipeline: Pipeline,
    admin: Administrator,
    step: str,
    status: Status,
    charged: bool,  # noqa: FBT001  a table
) -> None:
    """With the money as given; only while it is quarantined, and in no other way."""
    job = await in_state(pipeline, status)
    body = {"action": "fail", "charged": charged}
    assert_problem(await admin.call("POST", f"jobs/{job.id}/resolve", body), 409, "not_held")
    await set_aside(pipeline, step, job)
    for other in ({"action": "resubmit"}, {"action": "adopt", "upstream_request_id": "abc-1"}):
        assert_problem(await admin.call("POST", f"jobs/{job.id}/resolve", other), 409, "not_held")
    shown = (await admin.call("POST", f"jobs/{job.id}/resolve", body)).json()
    assert (shown["status"], shown["error_code"]) == ("failed", "unknown_outcome")
    assert shown["money"] == ("spent" if charged else "released")
    assert await pipeline.gateway.stores.quarantine.steps() == []
    line = (await admin.audit())[0]
    assert (line["action"], line["details"]["set_aside"]) == ("job.resolve", [step])


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize(("step", "status"), STEPS.items())
async def test_a_deadline_ends_what_is_set_aside(
    pipeline: Pipeline,
    step: str,
    status: Status,
    cancel: bool,  # noqa: FBT001  a table
) -> None:
    """Free of charge if it was never sent, else disputed; canceled if its caller requested that."""
    job = await in_state(pipeline, status)
    await set_aside(pipeline, step, job)
    if status is not Status.QUEUED:
        assert (await pipeline.expire(job.id)).status is status  # its deadline has not passed
    if cancel:
        assert (await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")).is_success
    if status is not Status.QUEUED or not cancel:
        assert_problem(await pipeline.stack.api.delete(f"/v1/jobs/{job.id}"), 409, "not_ended")
    await long_past(pipeline, job)
    ended = await pipeline.expire(job.id)
    assert ended.status is (Status.CANCELED if cancel else Status.FAILED)
    assert ended.money is (Money.RELEASED if status is Status.QUEUED else Money.DISPUTED)
    assert await pipeline.gateway.stores.quarantine.steps() == []
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FINALIZING])
async def test_a_job_whose_end_fal_never_tells_is_given_up(pipeline: Pipeline, status: Status) -> None:
    """An hour after its deadline, with its money disputed and an alarm; not earlier."""
    job = await in_state(pipeline, status)
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    await pipeline.write(job.id, deadline_ms=now_ms - GIVE_UP_MS + 60_000, submitted_ms=now_ms - GIVE_UP_MS)
    assert (await pipeline.expire(job.id)).status is status
    await long_past(pipeline, job)
    ended = await pipeline.expire(job.id)
    assert (ended.status, ended.money) == (Status.FAILED, Money.DISPUTED)
    assert ended.error is not None
    assert ended.error.code == "deadline_exceeded"
    assert [(one.kind, one.job) for one in await pipeline.gateway.stores.alarms.newest(9)] == [("given_up", job.id)]
    assert await pipeline.slot(job.id) is None


async def is_cancelled_at_fal(pipeline: Pipeline, job: Job) -> bool:
    """True when fal was asked to cancel the job's request."""
    assert job.upstream_request_id is not None
    return bool((await pipeline.stack.emulator.request(job.upstream_request_id))["cancelled"])


@pytest.mark.parametrize("way", ["deadline", "person"])
async def test_what_is_set_aside_and_ended_is_cancelled_at_fal(
    pipeline: Pipeline, admin: Administrator, way: str
) -> None:
    """Fal may still be running it although no job waits for it; not cancelled earlier, as it may be released."""
    async with pipeline.stack.emulator.steered():
        await pipeline.stack.emulator.set_speed(0.01)  # it runs as long as the test
        job = await in_state(pipeline, Status.RUNNING)
        await set_aside(pipeline, "poll", job)
        assert (await pipeline.expire(job.id)).status is Status.RUNNING
        assert not await is_cancelled_at_fal(pipeline, job)
        if way == "deadline":
            await long_past(pipeline, job)
            assert (await pipeline.expire(job.id)).money is Money.DISPUTED
        else:
            body = {"action": "fail", "charged": True}
            assert (await admin.call("POST", f"jobs/{job.id}/resolve", body)).json()["money"] == "spent"
        assert await is_cancelled_at_fal(pipeline, job)


@pytest.mark.parametrize("request_id", [POISON, "abc-1"])
async def test_an_end_does_not_depend_on_fals_answer_to_the_cancellation(
    pipeline: Pipeline, request_id: str
) -> None:
    """An id from which no URL can be built, and one that fal does not know: given up all the same."""
    job = await in_state(pipeline, Status.RUNNING)
    await pipeline.write(job.id, upstream_request_id=request_id)
    await long_past(pipeline, job)
    ended = await pipeline.expire(job.id)
    assert (ended.status, ended.money) == (Status.FAILED, Money.DISPUTED)


async def test_a_job_that_is_adopted_after_its_deadline_has_its_hour(pipeline: Pipeline) -> None:
    """A person found a held job's request at fal a day later: its clip may still come."""
    job = await pipeline.job(await pipeline.grant())
    nonce = await pipeline.store.claim(job) or ""
    assert await pipeline.store.hold(job, nonce=nonce, reason="no_answer_in_time")
    await pipeline.write(job.id, deadline_ms=1)
    assert await pipeline.store.adopt(job, nonce=nonce, upstream_request_id="abc-1", poll_ms=0)
    assert (await pipeline.expire(job.id)).status is Status.RUNNING
    due_ms = await pipeline.redis.zscore(keys.due("expire"), pipeline.ref(job.id))
    assert due_ms - await pipeline.gateway.stores.clock.now_ms() == pytest.approx(GIVE_UP_MS, abs=10_000)


async def test_a_store_that_is_away_is_no_failure(pipeline: Pipeline) -> None:
    """However often it happens."""
    job = await in_state(pipeline, Status.RUNNING)
    for _ in range(2 * MAX_FAILURES):
        with pytest.raises(StoreUnavailable):
            async with pipeline.gateway.stores.quarantine.counting_failures("poll", pipeline.ref(job.id)):
                raise StoreUnavailable("away")
    assert await pipeline.gateway.stores.quarantine.steps() == []


async def test_a_job_that_has_moved_on_is_not_set_aside(pipeline: Pipeline) -> None:
    """A late failure of an earlier step no longer matters."""
    job = await in_state(pipeline, Status.FINALIZING)
    for _ in range(2 * MAX_FAILURES):
        await fails(pipeline, "poll", job, ZeroDivisionError)
    assert await pipeline.gateway.stores.quarantine.steps() == []


# --- stores of older versions ------------------------------------------------------------------------------------


async def test_jobs_that_an_older_version_left_are_given_their_end(pipeline: Pipeline) -> None:
    """Running or finalizing without a last moment, quarantined or in no due set: the first sweep repairs it."""
    running, lost, finalizing, aside = [
        await in_state(pipeline, status)
        for status in (Status.RUNNING, Status.RUNNING, Status.FINALIZING, Status.FINALIZING)
    ]
    refs = [pipeline.ref(job.id) for job in (running, lost, finalizing, aside)]
    await pipeline.redis.zrem(keys.due("expire"), *refs)
    await pipeline.redis.zrem(keys.due("poll"), pipeline.ref(lost.id))
    await pipeline.redis.zrem(keys.due("finalize"), pipeline.ref(aside.id))
    await pipeline.redis.hset(keys.QUARANTINE, f"finalize {pipeline.ref(aside.id)}", 1)
    swept = await pipeline.gateway.stores.buying.sweep()
    assert (swept.freed, swept.granted, swept.rescheduled) == ([], [], [pipeline.ref(lost.id)])
    await pipeline.gateway.stores.buying.sweep()
    assert set(await pipeline.due("expire")) == set(refs)
    for job in (running, lost, finalizing, aside):
        await long_past(pipeline, job)
        assert (await pipeline.expire(job.id)).status is Status.FAILED
    assert await pipeline.gateway.stores.quarantine.steps() == []


# --- a way out of every state ------------------------------------------------------------------------------------


async def ends(pipeline: Pipeline, job: Job, admin: Administrator) -> dict[str, Any]:
    """Fail the job as an operator, which must be possible in its state."""
    reply = await admin.call("POST", f"jobs/{job.id}/resolve", {"action": "fail", "charged": False})
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


async def test_a_job_that_is_held_or_whose_claim_is_lost_is_ended_by_a_person(
    pipeline: Pipeline, admin: Administrator
) -> None:
    """The one state without a deadline, and the one that leads to it: every state has a way out."""
    job_id = await pipeline.grant()
    assert await pipeline.store.claim(await pipeline.job(job_id)) is not None
    await pipeline.write(job_id, lease_ms=1)
    held = await pipeline.submit(job_id)
    assert held.status is Status.HELD
    assert (await ends(pipeline, held, admin))["status"] == "failed"
