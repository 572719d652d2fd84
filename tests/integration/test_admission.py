"""Admission: one script, all or nothing."""

import asyncio
from dataclasses import fields
from typing import Any

import pytest

from app.domain.accounts import USER_SCOPES, Caller
from app.domain.jobs import Order, Priority, Status
from app.store import keys
from app.store.admission import AdmissionStore, Admitted, KeyReusedFor, Repeated
from app.store.clock import ClockEstimate
from tests.integration.concurrency import concurrently
from tests.integration.older_records import rewrite_idempotency
from tests.integration.submissions import submission_of
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


@pytest.fixture
def admission(stack: Stack) -> AdmissionStore:
    """The store that writes new jobs."""
    return AdmissionStore(stack.gateway.stores.redis, ClockEstimate(), retention_ms=30 * DAY_MS)


async def test_two_hundred_submits_with_one_key_are_one_job_and_one_reservation(
    stack: Stack, admission: AdmissionStore
) -> None:
    """Fifty at a time, over many connections: one is admitted, the others get its id."""
    pipeline = Pipeline(stack)
    new = submission_of(stack, idempotency_key="once")
    answers = await concurrently(admission.admit(new) for _ in range(200))
    (admitted,) = [answer for answer in answers if isinstance(answer, Admitted)]
    repeated = [answer for answer in answers if isinstance(answer, Repeated)]
    assert len(repeated) == 199
    assert {answer.job_id for answer in repeated} == {admitted.job.id}
    assert await stack.gateway.stores.ledger.reservations(pipeline.team) == {admitted.job.id: 1_400_000}
    assert await pipeline.money() == (1_400_000, 0)
    assert await pipeline.entries(admitted.job.id) == ["reserve"]
    assert await pipeline.redis.zcard(keys.LINE) == 1
    assert len((await stack.gateway.stores.events.after(pipeline.team, "0")).events) == 1


async def test_the_same_key_with_another_body_is_refused_and_reserves_nothing(
    stack: Stack, admission: AdmissionStore
) -> None:
    """The refusal names the first job; another user's equal key is a different key."""
    first = await admission.admit(submission_of(stack, idempotency_key="k"))
    assert isinstance(first, Admitted)
    other_body = await admission.admit(submission_of(stack, idempotency_key="k", fingerprint="two"))
    assert other_body == KeyReusedFor(first.job.id)
    assert await Pipeline(stack).money() == (1_400_000, 0)
    other_user = await admission.admit(submission_of(stack, idempotency_key="k", user="user_2"))
    assert isinstance(other_user, Admitted)


async def test_an_idempotency_key_of_an_older_version_finds_its_job(
    stack: Stack, pipeline: Pipeline, admission: AdmissionStore
) -> None:
    """With the same body; a different one is refused, and neither is bought."""
    new = submission_of(stack, idempotency_key="k")
    first = await admission.admit(new)
    assert isinstance(first, Admitted)
    await rewrite_idempotency(pipeline, new.user, "k", first.job.id, new.fingerprint)
    caller = Caller(team=new.team, user=new.user, key=new.key, scopes=USER_SCOPES)
    assert await admission.peek(caller, "k", new.fingerprint) == (first.job.id, True)
    assert await admission.peek(caller, "k", "two") == (first.job.id, False)
    again = await admission.admit(submission_of(stack, idempotency_key="k"))
    assert isinstance(again, Repeated)
    assert again.job_id == first.job.id
    assert await admission.admit(submission_of(stack, idempotency_key="k", fingerprint="two")) == KeyReusedFor(
        first.job.id
    )
    assert await pipeline.entries(first.job.id) == ["reserve"]


async def test_an_idempotency_key_outlives_the_longest_job_by_a_day(
    stack: Stack, admission: AdmissionStore
) -> None:
    """Seven days, or the deadline and a day."""
    redis: Any = stack.gateway.stores.redis
    for deadline_days, kept_days in ((1, 7), (7, 8)):
        key = f"for {deadline_days}"
        await admission.admit(submission_of(stack, idempotency_key=key, deadline_s=deadline_days * DAY_MS // 1000))
        names = [name async for name in redis.scan_iter(match="fg:idem:*")]
        longest = max([await redis.pttl(name) for name in names])
        assert kept_days * DAY_MS - 60_000 < longest <= kept_days * DAY_MS


async def test_a_repeat_over_http_is_the_job_as_it_is_now(stack: Stack) -> None:
    """202 with `Idempotent-Replayed`, nothing reserved again; a different body is 422."""
    headers = {"Idempotency-Key": "order-7"}
    first = await stack.api.post("/v1/jobs", json=stack.body("a lake"), headers=headers)
    pipeline = Pipeline(stack)
    await stack.gateway.stores.slots.grant()
    await pipeline.submit(first.json()["id"])
    again = await stack.api.post("/v1/jobs", json=stack.body("a lake"), headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert (again.json()["id"], again.json()["status"]) == (first.json()["id"], "running")
    assert await pipeline.entries(first.json()["id"]) == ["reserve"]
    other = await stack.api.post("/v1/jobs", json=stack.body("a hill"), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await pipeline.money() == (1_400_000, 0)


async def test_the_line_goes_by_priority_and_then_by_time(stack: Stack, admission: AdmissionStore) -> None:
    """High before normal before low; within one priority first come, first served."""
    wanted = [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.NORMAL, Priority.HIGH]
    ids = []
    for priority in wanted:
        answer = await admission.admit(submission_of(stack, priority=priority))
        assert isinstance(answer, Admitted)
        ids.append(answer.job.id)
        await asyncio.sleep(0.002)  # so that their times differ on the store's clock, in milliseconds
    pipeline = Pipeline(stack)
    line = await pipeline.redis.zrange(keys.LINE, 0, -1)
    assert line == [pipeline.ref(ids[number]) for number in (2, 4, 1, 3, 0)]


async def test_an_admitted_job_is_whole(stack: Stack, admission: AdmissionStore) -> None:
    """The record equals the answer; both clocks run; every index has it; its event has no input."""
    new = submission_of(
        stack,
        start_deadline_s=60,
        priority=Priority.HIGH,
        metadata={"order": "7"},
        images={"image_url": {"url": "https://example.com/a.png", "size": 7}},
        webhook_url="https://example.com/hook",
        webhook_style="fal",
        trace_id="trace",
    )
    answer = await admission.admit(new)
    assert isinstance(answer, Admitted)
    pipeline = Pipeline(stack)
    job = await pipeline.job(answer.job.id)
    assert job == answer.job
    kept = [one.name for one in fields(Order)]
    assert [getattr(job, name) for name in kept] == [getattr(new, name) for name in kept]
    assert (job.status, job.attempt, job.sequence) == (Status.QUEUED, 0, 1)
    assert job.start_deadline_ms == job.created_ms + 60_000
    assert await pipeline.redis.zscore(keys.due("expire"), pipeline.ref(job.id)) == job.start_deadline_ms
    for index in (
        keys.team_jobs(pipeline.team),
        keys.user_jobs(pipeline.team, job.user),
        keys.metadata_jobs(pipeline.team, "order", "7"),
    ):
        assert await pipeline.redis.zscore(index, job.id) == job.created_ms
    (event,) = await pipeline.job_events()
    assert (event.type, event.job.id, event.job.input) == ("job.queued", job.id, None)
