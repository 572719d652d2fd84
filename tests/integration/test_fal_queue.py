"""fal's queue API: submit, status, result, cancel, in the shapes and statuses that fal's clients read."""

import math

import pytest

from app.domain.jobs import Status
from tests.integration import fal_queue
from tests.integration.fal_queue import APP, BASE, MODEL, given, path_of
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


async def test_a_submission_is_answered_as_fal_answers(stack: Stack) -> None:
    """200 with the id, three URLs that have only the app, and the members that Python's client requires."""
    reply = await fal_queue.post(stack)
    assert reply.status_code == 200
    document = reply.json()
    request_id = document["request_id"]
    assert document == {
        "status": "IN_QUEUE",
        "request_id": request_id,
        "gateway_request_id": request_id,
        "response_url": f"{BASE}/{APP}/requests/{request_id}",
        "status_url": f"{BASE}/{APP}/requests/{request_id}/status",
        "cancel_url": f"{BASE}/{APP}/requests/{request_id}/cancel",
        "logs": None,
        "metrics": {},
        "queue_position": 0,
    }
    assert reply.headers["x-fal-request-id"] == request_id
    job = await stack.job(request_id)
    assert (job["model"], job["status"]) == (MODEL, "queued")


@pytest.mark.parametrize("app", [APP, MODEL])
async def test_a_request_goes_through_the_three_states(stack: Stack, pipeline: Pipeline, app: str) -> None:
    """202 while queued and running, 200 when ended, then the bare output; under both forms of the path."""
    request_id = (await fal_queue.submitted(stack, "three states"))["request_id"]
    address = path_of(request_id, "/status", app=app)
    reply = await stack.api.get(address)
    assert (reply.status_code, reply.json()["status"], reply.json()["queue_position"]) == (202, "IN_QUEUE", 0)
    assert reply.json()["logs"] is None
    early = await stack.api.get(path_of(request_id, app=app))
    assert (early.status_code, early.json()["detail"]) == (400, "Request is still in progress")

    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(request_id)
    reply = await stack.api.get(address, params={"logs": "1"})
    assert (reply.status_code, reply.json()["status"]) == (202, "IN_PROGRESS")
    assert "queue_position" not in reply.json()
    assert reply.json()["logs"] == []

    await pipeline.completed(request_id)
    await pipeline.finalized(request_id)
    reply = await stack.api.get(address, params={"logs": "true"})
    document = reply.json()
    assert (reply.status_code, document["status"]) == (200, "COMPLETED")
    assert not {"error", "error_type", "queue_position"} & document.keys()
    assert document["metrics"]["inference_time"] > 0
    assert {"message", "timestamp", "level", "source"} == document["logs"][0].keys()
    assert (await stack.api.get(address, params={"logs": "0"})).json()["logs"] is None
    for rest in ("", "/response"):
        reply = await stack.api.get(path_of(request_id, rest, app=app))
        assert reply.status_code == 200
        assert reply.json() == (await stack.job(request_id))["output"]
        assert reply.headers["x-fal-request-id"] == request_id
        assert reply.headers["x-fal-billable-units"] == (await pipeline.job(request_id)).billable_units == "5"


async def test_a_request_is_found_under_its_own_app_only(stack: Stack) -> None:
    """Another app's path, or another model's, is like a wrong id."""
    request_id = (await fal_queue.submitted(stack))["request_id"]
    others = ["fal-ai/other", "other/kling-video", "kling-video", f"{APP}/v2", f"{MODEL}/more", ""]
    for app in others:
        reply = await stack.api.get(path_of(request_id, "/status", app=app))
        assert (reply.status_code, reply.json()["status"]) == (404, "NOT_FOUND"), app


async def test_an_unknown_id_is_404_in_fals_words(stack: Stack) -> None:
    """`NOT_FOUND` for a status, `Request not found` for a result."""
    for rest, method in (("/status", "GET"), ("/status/stream", "GET"), ("/cancel", "PUT")):
        reply = await stack.api.request(method, path_of("job_" + "0" * 32, rest))
        assert (reply.status_code, reply.json()["status"]) == (404, "NOT_FOUND")
        assert {"detail", "message"} <= reply.json().keys()
    for rest in ("", "/response"):
        reply = await stack.api.get(path_of("job_" + "0" * 32, rest))
        assert (reply.status_code, reply.json()["detail"]) == (404, "Request not found")


async def test_a_cancelled_request_in_line_ends_at_once(stack: Stack) -> None:
    """202, then COMPLETED with `client_cancelled` and 499; a second cancellation is 400; nothing is charged."""
    request_id = (await fal_queue.submitted(stack))["request_id"]
    reply = await fal_queue.cancel(stack, request_id)
    assert (reply.status_code, reply.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    seen = await fal_queue.status(stack, request_id)
    assert (seen.status_code, seen.json()["status"]) == (200, "COMPLETED")
    assert (seen.json()["error_type"], bool(seen.json()["error"])) == ("client_cancelled", True)
    end = await fal_queue.result(stack, request_id)
    assert end.status_code == 499
    assert end.json()["error_type"] == end.headers["x-fal-error-type"] == "client_cancelled"
    again = await fal_queue.cancel(stack, request_id)
    assert (again.status_code, again.json()["status"]) == (400, "ALREADY_COMPLETED")
    assert (await stack.job(request_id))["status"] == "canceled"


async def test_a_request_cancelled_while_it_runs_stays_cancelled(stack: Stack, pipeline: Pipeline) -> None:
    """COMPLETED at once and for good, although fal makes the clip, which /v1 shows."""
    request_id = (await fal_queue.submitted(stack, "[emu:cancel_ignored] too late"))["request_id"]
    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(request_id)
    assert (await fal_queue.cancel(stack, request_id)).status_code == 202
    assert (await stack.job(request_id))["status"] == "running"
    for _ in range(2):
        assert (await fal_queue.status(stack, request_id)).json()["error_type"] == "client_cancelled"
        assert (await fal_queue.result(stack, request_id)).status_code == 499
        if (await pipeline.job(request_id)).status is Status.RUNNING:
            await pipeline.completed(request_id)
            await pipeline.finalized(request_id)
    assert (await stack.job(request_id))["status"] == "succeeded"


async def test_a_held_request_ends_at_its_deadline(stack: Stack, pipeline: Pipeline) -> None:
    """In queue until then; afterwards COMPLETED with 504, which is final for a client; /v1 still shows held."""
    job_id = (await fal_queue.submitted(stack, "held"))["request_id"]
    await pipeline.gateway.stores.slots.grant()
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    assert await pipeline.store.hold(await pipeline.job(job_id), nonce=nonce or "", reason="worker_lost")
    seen = await fal_queue.status(stack, job_id)
    assert (seen.status_code, seen.json()["status"], seen.json()["queue_position"]) == (202, "IN_QUEUE", 0)
    await pipeline.write(job_id, deadline_ms=await pipeline.gateway.stores.clock.now_ms())
    seen = await fal_queue.status(stack, job_id)
    assert (seen.status_code, seen.json()["error_type"]) == (200, "request_timeout")
    end = await fal_queue.result(stack, job_id)
    assert (end.status_code, end.json()["error_type"]) == (504, "request_timeout")
    assert (await stack.job(job_id))["status"] == "held"


async def test_a_request_that_did_not_start_in_time_is_504_with_the_users_timeout(
    stack: Stack, pipeline: Pipeline
) -> None:
    """The timeout is kept to the millisecond; the clients do not retry a 504 with this header."""
    headers = {"X-Fal-Request-Timeout": "1.25"}
    request_id = (await fal_queue.submitted(stack, "never", headers=headers))["request_id"]
    job = await pipeline.job(request_id)
    assert job.start_deadline_ms == job.created_ms + 1250
    await pipeline.write(request_id, start_deadline_ms=job.created_ms)
    await pipeline.expire(request_id)
    end = await fal_queue.result(stack, request_id)
    assert (end.status_code, end.json()["error_type"]) == (504, "request_timeout")
    assert end.headers["x-fal-request-timeout-type"] == "user"


async def test_the_headers_of_fals_clients_are_read(stack: Stack, pipeline: Pipeline) -> None:
    """Priority, the webhook in fal's format, and headers that have no meaning here."""
    headers = {
        "X-Fal-Queue-Priority": "low",
        "X-Fal-No-Retry": "1",
        "X-Fal-Runner-Hint": "h1",
        "X-Fal-Store-IO": "0",
        "X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 60}',
        "x-app-fal-disable-fallback": "true",
    }
    hook = "https://example.com/hook?x=1&y=%C3%BC"
    request_id = (await fal_queue.submitted(stack, params={"fal_webhook": hook}, headers=headers))["request_id"]
    job = await pipeline.job(request_id)
    assert (job.priority.value, job.webhook_url, job.webhook_style) == ("low", hook, "fal")
    native = await pipeline.job((await stack.submit())["id"])
    assert native.webhook_style is None


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon", str(math.inf)])
async def test_a_start_timeout_that_is_no_time_is_refused(stack: Stack, value: str) -> None:
    """400 in fal's shape."""
    reply = await fal_queue.post(stack, headers={"X-Fal-Request-Timeout": value})
    assert (reply.status_code, reply.json()["detail"]) == (400, reply.json()["message"])


async def test_input_is_read_as_leniently_as_fal_does(stack: Stack) -> None:
    """A number for the duration, a text for a number; unknown fields are dropped and reported."""
    body = given(stack, "lenient", duration=10, cfg_scale="0.25", seed=7, **{"odd\nname": 1})
    reply = await fal_queue.post(stack, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-filmgate-warning"] == "dropped unknown fields: seed, ?"
    job = await stack.job(reply.json()["request_id"])
    assert (job["input"]["duration"], job["input"]["cfg_scale"]) == ("10", 0.25)
    assert "seed" not in job["input"]
    assert "x-filmgate-warning" not in (await fal_queue.post(stack, "plain")).headers


async def test_a_line_that_is_too_long_is_429_and_admits_nothing(stack: Stack) -> None:
    """`fal_max_queue_length` counts the requests before this one."""
    await fal_queue.submitted(stack, "first")
    reply = await fal_queue.post(stack, "second", params={"fal_max_queue_length": "0"})
    assert (reply.status_code, "retry-after" in reply.headers) == (429, True)
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 1
    assert (await fal_queue.post(stack, "second", params={"fal_max_queue_length": "1"})).status_code == 200


async def test_an_erased_request_has_no_result(stack: Stack, pipeline: Pipeline) -> None:
    """404, as for an unknown id."""
    request_id = (await fal_queue.submitted(stack, "erased"))["request_id"]
    await pipeline.to(request_id, "succeeded")
    assert (await stack.api.delete(f"/v1/jobs/{request_id}")).status_code == 204
    end = await fal_queue.result(stack, request_id)
    assert (end.status_code, end.json()["detail"]) == (404, "Request not found")
