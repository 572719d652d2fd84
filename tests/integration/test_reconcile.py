"""Held jobs and fal's history: adopted only by their marker; half a listing decides nothing."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from app.domain.jobs import Job, Status
from app.domain.marker import make_marker
from app.fal.errors import UnusableAnswer
from app.fal.history import MAX_HISTORY_PAGES, RequestListing
from app.store import keys
from app.store.jobs import SUBMIT_LEASE_MS
from tests.integration.held_jobs import (
    alarms,
    assert_succeeds,
    at_fal,
    charges,
    due_in_ms,
    held,
    known_to_fal,
    listed,
    pipeline_on,
    resolve_once,
)
from tests.integration.refusals import store_digests
from tests.integration.uploads import uploaded
from tests.support.accounts import new_account
from tests.support.emulator import Emulator, FalCaller
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from workers.reconcile import history_task, resolve, resolve_held
from workers.submit import marked_input

pytestmark = pytest.mark.anyio
MINUTE_MS = 60_000
OTHER_MODELS = tuple(f"fal-ai/kling-video/{name}/image-to-video" for name in ("v1.6/pro", "v2.1/standard"))


@pytest.fixture
async def pipeline(store: RedisServer, historian: Emulator) -> AsyncIterator[Pipeline]:
    """Unknown outcomes are held, whatever the history has."""
    async with pipeline_on(store, historian) as made:
        yield made


# --- adopted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["drop_after_accept", "submit_cut", "submit_garbage", "submit_502_accepted"])
async def test_a_job_whose_answer_was_lost_is_adopted_and_paid_once(pipeline: Pipeline, tag: str) -> None:
    """One POST, one clip, one charge: fal's history shows which request is the job's."""
    before = await pipeline.posts()
    job = await held(pipeline, f"[emu:{tag}]")
    resolver = history_task(pipeline.gateway)
    assert resolver.is_due()
    with capture_logs() as lines:
        await resolver.run()
    assert [line["event"] for line in lines] == ["job.adopted"]
    (request,) = await at_fal(pipeline, job)
    now = await pipeline.job(job.id)
    assert (now.status, now.upstream_request_id, now.attempt) == (Status.RUNNING, request["request_id"], 1)
    assert await pipeline.redis.zcard(keys.HELD) == 0
    assert await pipeline.due("resolve") == []
    await assert_succeeds(pipeline, job)
    assert await pipeline.posts() == before + 1
    assert await alarms(pipeline) == []
    assert not resolver.is_due()


async def test_what_a_killed_worker_bought_is_adopted(pipeline: Pipeline) -> None:
    """The claim is written, the POST was sent, and its answer was not read."""
    image = await uploaded(pipeline.stack.api)
    body = {"prompt": "a lake that a killed worker bought", "image_url": image}
    job_id = (await pipeline.stack.submit(input=body))["id"]
    await pipeline.gateway.stores.slots.grant()
    job = await pipeline.job(job_id)
    nonce = await pipeline.store.claim(job)
    marker = make_marker(await pipeline.gateway.stores.secrets.of_markers(), job_id, nonce or "")
    sent = marked_input(job, marker)
    await pipeline.gateway.fal.submit(job.model, sent, start_timeout=None, marker=str(marker), webhook_url=None)
    await known_to_fal(pipeline, job)
    await resolve_held(pipeline.gateway)
    assert (await pipeline.job(job_id)).status is Status.SUBMITTING  # its worker may just be slow
    await pipeline.write(job_id, lease_ms=1)
    assert (await pipeline.submit(job_id)).held_reason == "worker_lost"
    await resolve_held(pipeline.gateway)
    assert (await pipeline.job(job_id)).status is Status.RUNNING
    await assert_succeeds(pipeline, job)


async def test_a_job_that_an_older_version_claimed_is_found_too(pipeline: Pipeline) -> None:
    """Its record has no time of the claim; the lease gives it."""
    job = await held(pipeline)
    assert job.claimed_ms is not None
    assert job.lease_ms == job.claimed_ms + SUBMIT_LEASE_MS
    await pipeline.redis.hdel(keys.job(pipeline.ref(job.id)), "claimed_ms", "start_timeout_ms")
    assert await resolve_once(pipeline, job) is None
    await assert_succeeds(pipeline, job)


async def test_lanes_resolve_by_themselves(pipeline: Pipeline) -> None:
    """A real worker adopts it and completes it."""
    job = await held(pipeline)
    async with pipeline.stack.workers():
        await pipeline.stack.until(job.id, "succeeded")
    assert await charges(pipeline, job) == 1


async def test_a_caller_who_gave_up_on_a_held_job_gets_his_cancel(pipeline: Pipeline) -> None:
    """The cancellation is recorded, and sent once fal's request is known."""
    job = await held(pipeline, "[emu:drop_after_accept:1][emu:slow]")
    assert (await pipeline.stack.api.post(f"/v1/jobs/{job.id}/cancel")).json()["status"] == "held"
    assert await resolve_once(pipeline, job) is None
    await pipeline.completed(job.id)
    assert (await pipeline.finalized(job.id)).status is Status.CANCELED
    assert [one["cancelled"] for one in await at_fal(pipeline, job)] == [True]


# --- two requests -------------------------------------------------------------------------------------------


async def bought_again(pipeline: Pipeline, job: Job, *, nonce: str = "") -> str:
    """Create a second request at fal for the same job, with the marker of this or another attempt; its id."""
    (first,) = await at_fal(pipeline, job)
    payload = dict(first["payload"])
    if nonce:
        payload = marked_input(job, make_marker(await pipeline.gateway.stores.secrets.of_markers(), job.id, nonce))
    async with FalCaller(pipeline.stack.emulator.url) as caller:
        again = await caller.web.post(f"/{job.model}", json=payload)
    await known_to_fal(pipeline, job)
    request_id: str = again.json()["request_id"]
    return request_id


@pytest.mark.parametrize("nonce", ["", "0" * 32], ids=["the same attempt", "an older attempt"])
async def test_of_two_requests_one_is_adopted_and_the_other_cancelled(pipeline: Pipeline, nonce: str) -> None:
    """The earliest is the job's; the other is an orphan, cancelled, with an alarm."""
    job = await held(pipeline, "[emu:drop_after_accept:1][emu:slow]")
    second = await bought_again(pipeline, job, nonce=nonce)
    assert await resolve_once(pipeline, job) is None
    first_at_fal, second_at_fal = await at_fal(pipeline, job)
    assert (await pipeline.job(job.id)).upstream_request_id == first_at_fal["request_id"]
    assert (first_at_fal["cancelled"], second_at_fal["cancelled"]) == (False, True)
    assert await alarms(pipeline) == [("orphan", job.id, second)]


async def test_what_an_attempt_bought_that_seemed_refused_is_adopted(pipeline: Pipeline) -> None:
    """The current attempt is not at fal, an older one is: it was bought, so it is the job's."""
    job = await held(pipeline, "[emu:drop_before_accept:1]")
    marker = make_marker(await pipeline.gateway.stores.secrets.of_markers(), job.id, "0" * 32)
    async with FalCaller(pipeline.stack.emulator.url) as caller:
        await caller.web.post(f"/{job.model}", json=marked_input(job, marker))
    await known_to_fal(pipeline, job)
    assert await resolve_once(pipeline, job) is None
    (request,) = await at_fal(pipeline, job)
    assert (await pipeline.job(job.id)).upstream_request_id == request["request_id"]
    await assert_succeeds(pipeline, job)


async def test_an_interrupted_resolution_is_continued(pipeline: Pipeline) -> None:
    """The job was adopted, then the worker died: the next read finds the second request."""
    job = await held(pipeline, "[emu:drop_after_accept:1][emu:slow]")
    second = await bought_again(pipeline, job)
    first = (await at_fal(pipeline, job))[0]["request_id"]
    await pipeline.gateway.stores.due.add("resolve", [pipeline.ref(job.id)])
    assert await pipeline.store.adopt(job, nonce=job.nonce or "", upstream_request_id=first, poll_ms=0)
    assert await resolve_held(pipeline.gateway) == 1
    assert await resolve_held(pipeline.gateway) == 0
    assert await alarms(pipeline) == [("orphan", job.id, second)]
    assert [one["cancelled"] for one in await at_fal(pipeline, job)] == [False, True]
    assert await pipeline.due("resolve") == []


async def test_what_an_operator_ended_is_not_brought_back(pipeline: Pipeline) -> None:
    """A failed job stays failed; a request that appears later is an orphan."""
    job = await held(pipeline, "[emu:drop_after_accept:1][emu:slow]")
    await pipeline.gateway.stores.due.add("resolve", [pipeline.ref(job.id)])
    await pipeline.gateway.operations.resolve("test", job.id, "fail", charged=False)
    await resolve_held(pipeline.gateway)
    (request,) = await at_fal(pipeline, job)
    assert (await pipeline.job(job.id)).status is Status.FAILED
    assert await alarms(pipeline) == [("orphan", job.id, request["request_id"])]
    assert request["cancelled"] is True


# --- only by the marker --------------------------------------------------------------------------------------


async def test_another_teams_request_is_never_adopted(pipeline: Pipeline) -> None:
    """The same model, prompt, image and time: the marker shows whose it is."""
    mine = await held(pipeline, "[emu:drop_before_accept:1]")
    made = await new_account(pipeline.gateway.administration, team_name="other", user_name="other")
    headers = {"Authorization": f"Bearer {made.key}"}
    transport = pipeline.stack.api._transport  # the same application
    async with httpx.AsyncClient(transport=transport, base_url="http://filmgate.test", headers=headers) as api:
        body = {"prompt": (mine.input or {})["prompt"], "image_url": await uploaded(api)}
        reply = await api.post("/v1/jobs", json={"input": body})
    other = await pipeline.gateway.stores.jobs.find(reply.json()["id"])
    assert other is not None
    await pipeline.gateway.stores.slots.grant()
    outcome = await pipeline.gateway.stores.jobs.claim(other)
    marker = make_marker(await pipeline.gateway.stores.secrets.of_markers(), other.id, outcome or "")
    sent = marked_input(other, marker)
    assert sent != other.input
    await pipeline.gateway.fal.submit(other.model, sent, start_timeout=None, marker=str(marker), webhook_url=None)
    await known_to_fal(pipeline, mine)
    assert isinstance(await resolve_once(pipeline, mine), int)
    assert (await pipeline.job(mine.id)).status is Status.HELD
    assert await pipeline.store.hold(other, nonce=outcome or "", reason="test")
    await resolve(pipeline.gateway, f"{other.team}/{other.id}", await pipeline.gateway.stores.clock.now_ms())
    adopted = await pipeline.gateway.stores.jobs.find(other.id)
    assert adopted is not None
    assert adopted.upstream_request_id == (await at_fal(pipeline, mine))[0]["request_id"]


async def test_a_forged_marker_is_no_marker(pipeline: Pipeline) -> None:
    """Job and nonce are right, the mac is not ours: treated as no marker."""
    job = await held(pipeline, "[emu:drop_before_accept:1]")
    forged = make_marker("another secret", job.id, job.nonce or "")
    async with FalCaller(pipeline.stack.emulator.url) as caller:
        await caller.web.post(f"/{job.model}", json=marked_input(job, forged))
    await known_to_fal(pipeline, job)
    assert isinstance(await resolve_once(pipeline, job), int)
    assert (await pipeline.job(job.id)).status is Status.HELD
    assert await alarms(pipeline) == []


# --- no decision --------------------------------------------------------------------------------------------


SENT = "2026-11-18T11:06:40Z"
TROUBLES: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"status": 401}, "http_401"),
    "403": ({"status": 403}, "http_403"),
    "429": ({"status": 429}, "http_429"),
    "500": ({"status": 500}, "http_500"),
    "302": ({"status": 302}, "http_302"),
    "html": ({"body": "<html>502</html>"}, "unreadable"),
    "no way to the next page": ({"body": listed(has_more=True)}, "unreadable"),
    "the same cursor twice": ({"page_rows": 1, "same_cursor": True}, "unreadable"),
    "no time": ({"body": listed({"request_id": "a", "sent_at": "soon", "json_input": {}})}, "unreadable"),
    "no payload": ({"body": listed({"request_id": "a", "sent_at": SENT})}, "no_payload"),
    "oversized": ({"body": "x" * 8_100_000}, "too_large"),
    "silence": ({"delay_seconds": 20}, "no_answer"),
}


@pytest.mark.parametrize(("trouble", "reason"), TROUBLES.values(), ids=TROUBLES)
async def test_without_a_whole_listing_nothing_is_decided(
    pipeline: Pipeline, historian: Emulator, trouble: dict[str, Any], reason: str
) -> None:
    """One warning however often it fails; the job stays held, and is adopted when fal answers again."""
    job = await held(pipeline)
    await known_to_fal(pipeline, await held(pipeline))  # two rows at least
    await resolve_due(pipeline, job)
    await historian.trouble_platform(**trouble)
    resolver = history_task(pipeline.gateway)
    before = await store_digests(pipeline.stack)
    with capture_logs() as lines:
        for _ in range(1 if "delay_seconds" in trouble else 2):
            await pipeline.make_due("resolve", pipeline.ref(job.id))
            await resolver.run()
    warnings = [one for one in lines if one["event"] != "fal.away"]  # without the line on the connection's fault
    assert [(one["event"], one["log_level"], one["reason"]) for one in warnings] == [
        ("history.away", "warning", reason)
    ]
    assert not resolver.is_due()
    after = await store_digests(pipeline.stack)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {keys.due("resolve")}
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert 0 < due <= MINUTE_MS
    await historian.trouble_platform()
    assert await resolve_once(pipeline, job) is None
    assert (await pipeline.job(job.id)).status is Status.RUNNING


async def resolve_due(pipeline: Pipeline, job: Job) -> None:
    """Every held job has its due time in this step, and only this one's has come."""
    await pipeline.gateway.stores.due.add("resolve", await pipeline.store.held())
    for ref in await pipeline.due("resolve"):
        if ref != pipeline.ref(job.id):
            later_ms = await pipeline.gateway.stores.clock.now_ms() + DAY_MS
            await pipeline.gateway.stores.due.reschedule("resolve", {ref: later_ms})


async def test_a_history_that_lags_is_waited_for(pipeline: Pipeline, historian: Emulator) -> None:
    """An empty listing alone decides nothing; 15 s later it is read again."""
    job = await held(pipeline)
    await historian.trouble_platform(lag_seconds=900)
    assert await resolve_held(pipeline.gateway) == 1
    assert (await pipeline.job(job.id)).status is Status.HELD
    due = await due_in_ms(pipeline, job)
    assert due is not None
    assert 10_000 < due <= 15_000
    await historian.trouble_platform()
    assert await resolve_once(pipeline, job) is None
    await assert_succeeds(pipeline, job)


async def test_one_request_without_its_payload_stops_the_decision(pipeline: Pipeline) -> None:
    """Another client of the same account does not store payloads at fal: that request might be ours."""
    job = await held(pipeline, model=OTHER_MODELS[0])
    async with FalCaller(pipeline.stack.emulator.url) as caller:
        strange = {"headers": {"X-Fal-Store-IO": "0"}, "model": OTHER_MODELS[0]}
        await caller.until(await caller.submit("somebody else's", **strange), "COMPLETED")
    assert await resolve_once(pipeline, job) == UnusableAnswer("no_payload")
    assert (await pipeline.job(job.id)).status is Status.HELD


async def test_all_pages_are_read_or_none_counts(pipeline: Pipeline, historian: Emulator) -> None:
    """One request a page: the last page has ours. With more pages than the limit, nothing is decided."""
    model = OTHER_MODELS[1]
    job = await held(pipeline, model=model)
    async with FalCaller(pipeline.stack.emulator.url) as caller:
        for _ in range(3):
            await caller.until(await caller.submit("somebody else's", model=model), "COMPLETED")
        await historian.trouble_platform(page_rows=1)
        span = {"start_ms": (job.claimed_ms or 0) - MINUTE_MS, "end_ms": (job.claimed_ms or 0) + MINUTE_MS}
        whole = await pipeline.gateway.fal.history(model, **span)
        assert isinstance(whole, RequestListing)
        times = [seen.sent_ms for seen in whole.requests]
        assert times == sorted(times)
        assert len(times) == 4
        assert [bool(seen.markers) for seen in whole.requests] == [True, False, False, False]
        for _ in range(MAX_HISTORY_PAGES - 3):
            await caller.submit("somebody else's", model=model, headers={"X-Emulator-Scenario": "ok"})
        await wait_until(lambda: _many_started(pipeline, model), "fal lists all of them")
        assert await resolve_once(pipeline, job) == UnusableAnswer("too_long")
    await historian.trouble_platform(page_rows=2)
    assert await resolve_once(pipeline, job) is None


async def _many_started(pipeline: Pipeline, model: str) -> bool:
    requests = [one for one in await pipeline.stack.emulator.requests() if one["endpoint"] == model]
    return len([one for one in requests if one["started_at"] is not None]) > MAX_HISTORY_PAGES


async def test_without_an_admin_key_nothing_is_read(store: RedisServer, historian: Emulator) -> None:
    """Held jobs wait for a webhook or a person."""
    async with pipeline_on(store, historian, FAL_ADMIN_KEY="") as pipeline:
        await held(pipeline)
        assert not history_task(pipeline.gateway).is_due()


async def test_a_poisonous_job_keeps_no_other_one_held(pipeline: Pipeline) -> None:
    """An unreadable record is logged, and the next job is resolved."""
    bad, good = await held(pipeline), await held(pipeline)
    await pipeline.write(bad.id, seconds="nobody can count these")
    with capture_logs() as lines:
        await resolve_held(pipeline.gateway)
    await pipeline.write(bad.id, seconds=bad.seconds)
    assert ("history.failed", bad.id) in [(one["event"], one["job"]) for one in lines]
    assert (await pipeline.job(good.id)).status is Status.RUNNING
