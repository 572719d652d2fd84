"""Jobs over HTTP: cancel, delete and clip in every state, waiting, quotes."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from app.store import keys
from tests.integration.concurrency import concurrently
from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.pipeline import Pipeline, job_in
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

LIVE = ("submitting", "held", "running", "finalizing")
ENDS = ("succeeded", "failed", "canceled")


async def test_a_job_is_shown_as_the_contract_says(stack: Stack) -> None:
    """A new job has every member, money as text, times in UTC, and URLs that work."""
    metadata = {"scene": "4a", "note": "ok"}
    reply = await stack.api.post("/v1/jobs", json=stack.body(metadata=metadata, priority="high", deadline=600))
    job = reply.json()
    assert reply.headers["location"] == job["urls"]["self"] == f"http://filmgate.test/v1/jobs/{job['id']}"
    assert reply.headers["cache-control"] == "no-store"
    created, deadline = (datetime.fromisoformat(job.pop(name)) for name in ("created_at", "deadline_at"))
    assert created.tzinfo == UTC
    assert (deadline - created).total_seconds() == 600
    given = stack.body()["input"]
    assert job == {
        "id": job["id"],
        "status": "queued",
        "model": "fal-ai/kling-video/v2/master/image-to-video",
        "input": given | {"duration": "5", "negative_prompt": "blur, distort, and low quality", "cfg_scale": 0.5},
        "output": None,
        "error": None,
        "quoted_usd": "1.40",
        "charged_usd": None,
        "queue_position": 0,
        "upstream_paused": None,
        "logs": [],
        "metadata": metadata,
        "priority": "high",
        "user": stack.account.user.id,
        "submitted_at": None,
        "completed_at": None,
        "cancel_requested_at": None,
        "held_reason": None,
        "repeated": False,
        "expires_at": None,
        "urls": {"self": job["urls"]["self"], "cancel": job["urls"]["cancel"], "events": job["urls"]["events"]},
    }
    shown = (await stack.api.get(job["urls"]["self"])).json()
    assert shown | job == shown


async def test_a_queued_job_is_cancelled_at_once_and_costs_nothing(stack: Stack) -> None:
    """202 with the ended job, its money released, nothing bought; a second cancel is 409."""
    known = len(await stack.emulator.requests())
    job = await stack.submit()
    reply = await stack.api.post(job["urls"]["cancel"])
    assert reply.status_code == 202
    ended = reply.json()
    assert (ended["status"], ended["charged_usd"], ended["queue_position"]) == ("canceled", "0.00", None)
    assert ended["error"]["code"] == "canceled"
    assert (await stack.api.get("/v1/me")).json()["usage"] == {"reserved_usd": "0.00", "spent_usd": "0.00"}
    async with nothing_changes(stack):
        assert_problem(await stack.api.post(job["urls"]["cancel"]), 409, "already_ended")
    assert len(await stack.emulator.requests()) == known


@pytest.mark.parametrize("status", LIVE)
async def test_a_cancel_of_a_live_job_is_written_down_once(stack: Stack, status: str) -> None:
    """202; the cancellation has a time, which a repeat keeps; state and money are unchanged."""
    job_id = await job_in(stack, status)
    first = await stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (first.status_code, first.json()["status"]) == (202, status)
    assert first.json()["cancel_requested_at"] is not None
    async with nothing_changes(stack):
        second = await stack.api.post(f"/v1/jobs/{job_id}/cancel")
    assert (second.status_code, second.json()) == (202, first.json())
    assert (await stack.api.get("/v1/me")).json()["usage"]["reserved_usd"] == "1.40"


@pytest.mark.parametrize("status", ENDS)
async def test_an_ended_job_cannot_be_cancelled(stack: Stack, status: str) -> None:
    """409 in each of the three terminal states, and nothing changes."""
    job_id = await job_in(stack, status)
    async with nothing_changes(stack):
        assert_problem(await stack.api.post(f"/v1/jobs/{job_id}/cancel"), 409, "already_ended")


async def test_two_hundred_cancels_release_once(stack: Stack) -> None:
    """Of many cancels of a queued job, fifty at a time, each is 202 or 409; the money is released once."""
    job = await stack.submit()
    replies = await concurrently(stack.api.post(job["urls"]["cancel"]) for _ in range(200))
    assert {reply.status_code for reply in replies} <= {202, 409}
    assert 202 in {reply.status_code for reply in replies}
    assert (await stack.api.get("/v1/me")).json()["usage"]["reserved_usd"] == "0.00"


async def test_a_cancelled_running_job_ends_by_fals_truth(stack: Stack) -> None:
    """Cancelled while it runs: fal is asked once, and fal's answer decides how it ends."""
    job = await stack.submit("[emu:run:30] a lake")
    pipeline = Pipeline(stack)
    await pipeline.to(job["id"], "running")
    await stack.api.post(job["urls"]["cancel"])
    await pipeline.completed(job["id"])
    await pipeline.finalized(job["id"])
    ended = await stack.job(job["id"])
    assert ended["status"] == "canceled"
    assert ended["charged_usd"] is None  # disputed, until billing or a day decides


@pytest.mark.parametrize("status", ["queued", *LIVE])
async def test_a_live_job_cannot_be_deleted(stack: Stack, status: str) -> None:
    """409, and everything is kept."""
    job_id = await job_in(stack, status)
    async with nothing_changes(stack):
        assert_problem(await stack.api.delete(f"/v1/jobs/{job_id}"), 409, "not_ended")


@pytest.mark.parametrize("status", ENDS)
async def test_a_deleted_job_keeps_nothing_of_its_caller(stack: Stack, status: str) -> None:
    """204; the remaining record has no prompt, image or clip, nor has any key of the store; the ledger is kept."""
    job_id = await job_in(stack, status)
    before = await stack.gateway.stores.ledger.entries(stack.account.team.id)
    reply = await stack.api.delete(f"/v1/jobs/{job_id}")
    assert (reply.status_code, reply.content) == (204, b"")
    shell = await stack.job(job_id)
    assert (shell["status"], shell["input"], shell["output"], shell["metadata"]) == (status, None, None, {})
    assert await stack.gateway.stores.ledger.entries(stack.account.team.id) == before
    events = await Pipeline(stack).job_events()
    mine = [event.job for event in events if event.job.id == job_id]
    assert mine
    assert all(job.erased and not (job.output or job.logs or job.metadata or job.images) for job in mine)
    assert (await stack.api.delete(f"/v1/jobs/{job_id}")).status_code == 204
    assert_problem(await stack.api.get(f"/v1/jobs/{job_id}/video"), 409, "no_video")


@pytest.mark.parametrize("status", ["queued", *LIVE, "failed", "canceled"])
async def test_a_job_without_a_clip_has_none_to_show(stack: Stack, status: str) -> None:
    """409 in every state except success."""
    job_id = await job_in(stack, status)
    assert_problem(await stack.api.get(f"/v1/jobs/{job_id}/video"), 409, "no_video")


async def test_the_clip_of_a_job_is_at_an_address_that_stays(stack: Stack) -> None:
    """A redirect to the clip's current URL."""
    job_id = await job_in(stack, "succeeded")
    reply = await stack.api.get(f"/v1/jobs/{job_id}/video")
    assert reply.status_code == 307
    assert reply.headers["location"] == (await stack.job(job_id))["output"]["video"]["url"]


async def test_waiting_ends_with_the_job(stack: Stack) -> None:
    """A long poll and a waiting submission return when the job ends, well before their timeout."""
    began = time.monotonic()
    job = await stack.submit()
    wait = {"Prefer": "wait=30"}
    submitting = asyncio.create_task(
        stack.api.post("/v1/jobs", json=stack.body("waits"), headers=wait | {"Idempotency-Key": "w"})
    )
    reading = asyncio.create_task(stack.api.get(job["urls"]["self"], headers=wait))
    other = await stack.api.post("/v1/jobs", json=stack.body("waits"), headers={"Idempotency-Key": "w"})
    await stack.api.post(job["urls"]["cancel"])
    await stack.api.post(other.json()["urls"]["cancel"])
    submitted, read = await submitting, await reading
    assert time.monotonic() - began < 10
    assert (submitted.status_code, submitted.json()["status"]) == (200, "canceled")
    assert (read.status_code, read.json()["status"]) == (200, "canceled")
    for reply in (submitted, read):
        assert reply.headers["preference-applied"] == "wait=30"
        assert "Prefer" in reply.headers["vary"]


async def test_waiting_ends_with_its_time(stack: Stack) -> None:
    """If the job has not ended at the timeout, a submission is 202 and a read is 200, both with the current job."""
    wait = {"Prefer": "wait=1"}
    began = time.monotonic()
    submitted = await stack.api.post("/v1/jobs", json=stack.body(), headers=wait)
    read = await stack.api.get(submitted.json()["urls"]["self"], headers=wait)
    assert 1.9 < time.monotonic() - began < 5
    assert (submitted.status_code, submitted.json()["status"]) == (202, "queued")
    assert (read.status_code, read.json()["status"]) == (200, "queued")
    assert submitted.headers["preference-applied"] == read.headers["preference-applied"] == "wait=1"


async def test_an_ended_job_is_not_waited_for(stack: Stack) -> None:
    """A long poll of an ended job answers at once."""
    job_id = await job_in(stack, "canceled")
    began = time.monotonic()
    reply = await stack.api.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=60"})
    assert time.monotonic() - began < 2
    assert reply.json()["status"] == "canceled"


async def test_a_quote_changes_nothing(stack: Stack) -> None:
    """The price and the queue length for each input; the store is unchanged."""
    await stack.submit()
    await stack.submit()
    ten = stack.body()
    ten["input"]["duration"] = "10"
    async with nothing_changes(stack):
        short = await stack.api.post("/v1/quotes", json=stack.body())
        long = await stack.api.post("/v1/quotes", json=ten, headers={"Idempotency-Key": "ignored"})
    assert short.status_code == long.status_code == 200
    version = short.json()["price_version"]
    assert version == long.json()["price_version"]
    assert short.json() == {
        "price_version": version,
        "model": "fal-ai/kling-video/v2/master/image-to-video",
        "quoted_usd": "1.40",
        "video_seconds": 5,
        "basis": "requested",
        "note": None,
        "limits": [],
        "queue": {"position": 2, "estimated_wait_s": 0, "expected_run_s": None, "upstream_paused": None},
    }
    assert long.json()["quoted_usd"] == "2.80"


async def test_a_quote_says_how_long_the_model_usually_takes(stack: Stack) -> None:
    """The median of its newest jobs, once there are any."""
    model = "fal-ai/kling-video/v2/master/image-to-video"
    for milliseconds in (40_000, 90_400, 600_000):
        stack.redis.command("LPUSH", keys.durations(model), str(milliseconds))
    stack.redis.command("EXPIRE", keys.durations(model), "60")
    quoted = (await stack.api.post("/v1/quotes", json=stack.body())).json()
    assert quoted["queue"]["expected_run_s"] == 90


async def test_anybody_may_know_whether_clips_cost_money_here(stack: Stack) -> None:
    """The emulator says so to whoever asks, with a key or without; and no other way to sign in is set here."""
    reply = await stack.api.get("/v1/about", headers={"Authorization": ""})
    known = {"emulated": True, "sign_in": {"provider": None, "proxy": None}}
    assert (reply.status_code, reply.json()) == (200, known)


async def test_a_submission_costs_what_was_quoted(stack: Stack) -> None:
    """For every model with a price, the quote equals the quote of the job."""
    checked = 0
    for model in stack.gateway.catalog:
        if model.tariff is None or model.schema.image_fields != ("image_url",):
            continue
        body = stack.body(model=model.id)
        quoted = await stack.api.post("/v1/quotes", json=body)
        made = await stack.api.post("/v1/jobs", json=body)
        if quoted.status_code == 200:
            assert made.json()["quoted_usd"] == quoted.json()["quoted_usd"]
            checked += 1
        else:
            assert made.status_code == quoted.status_code == 422
    assert checked >= 1


async def test_a_model_without_a_price_is_refused(stack: Stack) -> None:
    """422, and nothing is reserved: without a price there is no way to enforce a budget."""
    unpriced = [model for model in stack.gateway.catalog if model.tariff is None]
    for model in unpriced:
        async with nothing_changes(stack):
            reply = await stack.api.post("/v1/jobs", json={"model": model.id, "input": model.usual_input})
        assert_problem(reply, 422, "price_unknown")
