"""Errors of the fal-compatible API: fal's shape and statuses, and none that a client retries forever."""

import base64
import re
from typing import Any

import httpx
import pytest

from app.domain.jobs import Charge, JobError, Status
from app.domain.limits import Limit, Unit, Window
from tests.integration import fal_queue
from tests.integration.fal_queue import MODEL, given, path_of
from tests.integration.limits import Bounds
from tests.integration.uploads import picture
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


def assert_fal_error(reply: httpx.Response, status: int) -> Any:
    """The reply has this status, fal's members, and an id; its `detail`."""
    assert reply.status_code == status, reply.text
    document = reply.json()
    assert {"detail", "message"} <= document.keys() <= {"detail", "message", "error_type", "status"}
    assert isinstance(document["message"], str)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-fal-request-id"]
    return document["detail"]


FAULTS = [
    ({"duration": 7}, ["body", "duration"], "one_of", {"expected": ["5", "10"]}),
    ({"duration": "5s"}, ["body", "duration"], "one_of", {"expected": ["5", "10"]}),
    ({"duration": True}, ["body", "duration"], "string_type", None),
    ({"cfg_scale": 2}, ["body", "cfg_scale"], "less_than_equal", {"le": 1}),
    ({"prompt": "x" * 2501}, ["body", "prompt"], "string_too_long", {"max_length": 2500}),
    ({"image_url": "ftp://example.com/a.png"}, ["body", "image_url"], "url_scheme", None),
]


@pytest.mark.parametrize(("wrong", "loc", "kind", "ctx"), FAULTS)
async def test_a_wrong_input_is_refused_at_submission_in_fals_shape(
    stack: Stack, wrong: dict[str, Any], loc: list[str], kind: str, ctx: dict[str, Any] | None
) -> None:
    """422 with the list that both clients parse into typed errors; nothing is admitted, no value is echoed."""
    reply = await fal_queue.post(stack, json={**given(stack), **wrong})
    (found,) = assert_fal_error(reply, 422)
    assert (found["loc"], found["type"], found.get("ctx")) == (loc, kind, ctx)
    assert found["msg"]
    assert loc[1] in reply.json()["message"], "JavaScript's client shows this sentence alone"
    assert "input" not in found
    assert (await stack.api.get("/v1/jobs")).json()["data"] == []


async def test_all_wrong_fields_are_reported_at_once(stack: Stack) -> None:
    """A missing field and a wrong one."""
    reply = await fal_queue.post(stack, json={"prompt": "x", "duration": "6"})
    found = {tuple(one["loc"]): one["type"] for one in assert_fal_error(reply, 422)}
    assert found == {("body", "image_url"): "missing", ("body", "duration"): "one_of"}


async def test_the_sentence_names_the_place_of_each_fault(stack: Stack) -> None:
    """With its way through lists: of several pictures or shots, which one."""
    shots = [{"prompt": "a", "duration": "99"}, {"duration": "3"}]
    wrong = {"start_image_url": stack.emulator.sample_image, "multi_prompt": shots}
    reply = await fal_queue.post(stack, model="fal-ai/kling-video/v3/pro/image-to-video", json=wrong)
    assert_fal_error(reply, 422)
    assert "multi_prompt.0.duration: duration must be" in reply.json()["message"]
    assert "multi_prompt.1.prompt: prompt is required" in reply.json()["message"]


async def test_a_data_uri_that_is_no_image_is_not_repeated(stack: Stack) -> None:
    """422 `image_load_error`, without a byte of it."""
    secret = base64.b64encode(b"not an image at all, kan4rie").decode()
    reply = await fal_queue.post(stack, json={"prompt": "x", "image_url": f"data:image/png;base64,{secret}"})
    (found,) = assert_fal_error(reply, 422)
    assert found["type"] == "image_load_error"
    assert secret not in reply.text


SMALL = "data:image/png;base64," + base64.b64encode(picture(size=(10, 10))).decode()
LEAST = {"min_height": 300, "min_width": 300}
IMAGES = [
    ("data:text/plain,x", "image_load_error", None),
    ("data:image/png;base64,!", "image_load_error", None),
    ("data:image/png;base64,bm8gaW1hZ2U=", "image_load_error", None),
    (SMALL, "image_too_small", LEAST),
]


@pytest.mark.parametrize(("image", "kind", "ctx"), IMAGES)
async def test_a_wrong_image_names_its_field(
    stack: Stack, image: str, kind: str, ctx: dict[str, int] | None
) -> None:
    """In the shape of fal's models on the fal-compatible API, by a pointer on ours; the error code is the same."""
    asked = {**given(stack), "image_url": image}
    (found,) = assert_fal_error(await fal_queue.post(stack, json=asked), 422)
    assert (found["loc"], found["type"], found.get("ctx")) == (["body", "image_url"], kind, ctx)
    native = (await stack.api.post("/v1/jobs", json={"input": asked})).json()
    (error,) = native["errors"]
    assert (error["pointer"], error["code"]) == ("/input/image_url", native["code"])


@pytest.mark.parametrize("model", ["fal-ai/no-such/model", "x", "fal-ai/kling-video", "a" * 500, "é/ä"])
async def test_an_unknown_model_is_fals_404(stack: Stack, model: str) -> None:
    """Fal's message with the name as given, unless it is absurd, and then what to ask for."""
    detail = assert_fal_error(await fal_queue.post(stack, model=model), 404)
    assert re.fullmatch(
        r'Application ".{0,200}" not found\. (Did you mean .*\?|GET /fal/api/v1/models .*\.)', detail
    )


async def test_a_model_that_is_nearly_right_is_named(stack: Stack) -> None:
    """As at `/v1`: the end of the path is often forgotten."""
    detail = assert_fal_error(await fal_queue.post(stack, model=MODEL.rpartition("/")[0]), 404)
    assert f"Did you mean {MODEL}?" in detail


@pytest.mark.parametrize("headers", [{"Authorization": "Key nonsense"}, {"Authorization": "Basic x"}])
async def test_a_bad_key_is_401_everywhere(stack: Stack, headers: dict[str, str]) -> None:
    """Submit, status, result, cancel, stream, run."""
    requests = [("POST", f"/fal/queue/{MODEL}"), ("POST", f"/fal/run/{MODEL}"), ("PUT", path_of("x", "/cancel"))]
    requests += [("GET", path_of("x", rest)) for rest in ("", "/response", "/status", "/status/stream")]
    for method, path in requests:
        body = {"json": given(stack)} if method == "POST" else {}
        assert_fal_error(await stack.api.request(method, path, headers=headers, **body), 401)  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b'{"a": NaN}', 400), (b'{"a": 1, "a": 2}', 400)]
)
async def test_a_body_that_is_no_object_is_refused_in_fals_shape(stack: Stack, body: bytes, status: int) -> None:
    """Neither problem documents nor pages."""
    headers = {"Content-Type": "application/json"}
    reply = await stack.api.post(f"/fal/queue/{MODEL}", content=body, headers=headers)
    assert_fal_error(reply, status)


@pytest.mark.parametrize(("method", "path"), [("GET", "/fal/nothing"), ("DELETE", f"/fal/queue/{MODEL}")])
async def test_unknown_paths_and_methods_are_refused_in_fals_shape(stack: Stack, method: str, path: str) -> None:
    """404 and 405."""
    assert_fal_error(await stack.api.request(method, path), 404 if method == "GET" else 405)


METHODS = [
    ("DELETE", "/status", 405, "GET, HEAD"),
    ("PUT", "/status", 405, "GET, HEAD"),
    ("HEAD", "/status", 404, None),
    ("POST", "/status", 405, "GET, HEAD"),
    ("GET", "/cancel", 405, "PUT"),
    ("POST", "/cancel", 405, "PUT"),
    ("DELETE", "", 405, "GET, HEAD"),
    ("POST", "/nothing", 404, None),
]


@pytest.mark.parametrize("app", [fal_queue.APP, MODEL])
@pytest.mark.parametrize(("method", "rest", "status", "allow"), METHODS)
async def test_a_wrong_method_below_a_request_gets_the_right_one(
    stack: Stack, app: str, method: str, rest: str, status: int, allow: str | None
) -> None:
    """None of these paths is mistaken for a model's."""
    reply = await stack.api.request(method, path_of("x", rest, app=app))
    assert (reply.status_code, reply.headers.get("allow")) == (status, allow)
    assert method == "HEAD" or "Application" not in assert_fal_error(reply, status)


LIMITS = [
    (Limit(Unit.USD, Window.DAY, 0), 402),
    (Limit(Unit.USD, Window.MINUTE, 0), 402),
    (Limit(Unit.JOBS, Window.MONTH, 0), 403),
    (Limit(Unit.JOBS, Window.TOTAL, 0), 403),
    (Limit(Unit.VIDEO_SECONDS, Window.MINUTE, 4), 403),  # one job is larger: waiting does not help
    (Limit(Unit.JOBS, Window.CONCURRENT, 0), 403),
    (Limit(Unit.JOBS, Window.CONCURRENT, 1), 403),  # the wait is unknown: a 429 would be retried ten times
    (Limit(Unit.JOBS, Window.QUEUED, 1), 403),
    (Limit(Unit.JOBS, Window.MINUTE, 1), 429),
    (Limit(Unit.SUBMITS, Window.MINUTE, 1), 429),
    (Limit(Unit.SUBMITS, Window.HOUR, 1), 403),
]


@pytest.mark.parametrize(("limit", "status"), LIMITS)
async def test_a_limit_is_429_only_where_a_wait_of_a_minute_helps(stack: Stack, limit: Limit, status: int) -> None:
    """402 for money, 403 for a long or endless wait: the clients retry a 429 up to ten times."""
    if limit.window is Window.MINUTE:
        await Bounds(stack).steady_minute()
    if limit.amount == 1:
        await fal_queue.submitted(stack, "the first")
    await stack.gateway.limits.replace("test", stack.account.team.id, [limit])
    if limit.unit is Unit.SUBMITS:
        await fal_queue.submitted(stack, "the only one")
    reply = await fal_queue.post(stack, "refused")
    sentence = assert_fal_error(reply, status)
    assert "limit" in sentence
    assert ("retry-after" in reply.headers) == (status == 429)


async def test_a_forbidden_webhook_is_422_and_says_where(stack: Stack) -> None:
    """A private address, in the query."""
    reply = await fal_queue.post(stack, params={"fal_webhook": "http://10.0.0.1/hook"})
    (found,) = assert_fal_error(reply, 422)
    assert found["loc"] == ["query", "fal_webhook"]


ENDS = [
    (JobError("deadline_exceeded", "Late."), 504, "request_timeout"),
    (JobError("upstream_error", "No.", upstream={"status": 503, "detail": "Runner disconnected",
                                                 "error_type": "runner_disconnected"}), 503, "runner_disconnected"),
    (JobError("upstream_error", "No.", upstream={"status": 500, "detail": None, "error_type": None}), 500, None),
    (JobError("result_unavailable", "Gone.", upstream={"status": 404}), 500, "internal_error"),
    (JobError("bad_upstream_result", "Odd.", upstream={"status": 200}), 502, "runner_incomplete_response"),
    (JobError("upstream_rejected", "fal refused.", upstream={"status": 404}), 400, "bad_request"),
    (JobError("upstream_rejected", "fal refused.", upstream={"status": 413}), 413, None),
    (JobError("unknown_outcome", "Ended by hand."), 500, "internal_error"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "status", "kind"), ENDS)
async def test_a_failed_request_has_a_fitting_error_of_fals(
    stack: Stack, pipeline: Pipeline, error: JobError, status: int, kind: str | None
) -> None:
    """COMPLETED with the error next to it, and the result's own status; never 409, never 429."""
    request_id = (await fal_queue.submitted(stack))["request_id"]
    job = await pipeline.job(request_id)
    assert await pipeline.store.end(job, (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE, error=error)
    seen = await fal_queue.status(stack, request_id)
    assert (seen.status_code, seen.json()["status"], seen.json().get("error_type")) == (200, "COMPLETED", kind)
    assert seen.json()["error"]
    reply = await fal_queue.result(stack, request_id)
    assert_fal_error(reply, status)
    assert reply.headers.get("x-fal-error-type") == reply.json().get("error_type") == kind


async def test_a_models_own_refusal_keeps_its_list(stack: Stack, pipeline: Pipeline) -> None:
    """A 422 of fal's model, with the list of errors in the clients' format, and without the input."""
    request_id = (await fal_queue.submitted(stack, "[emu:422_content_policy] kan4rie"))["request_id"]
    await pipeline.to(request_id, "succeeded")
    reply = await fal_queue.result(stack, request_id)
    (found,) = assert_fal_error(reply, 422)
    assert (found["loc"][0], found["type"]) == ("body", "content_policy_violation")
    assert "kan4rie" not in reply.text


async def test_native_routes_and_fals_own_webhooks_keep_their_shape(stack: Stack) -> None:
    """Problem documents on every other route."""
    for method, path in (("GET", "/v1/jobs/x"), ("POST", "/fal/hooks/a/b/c"), ("GET", "/nothing")):
        reply = await stack.api.request(method, path)
        assert reply.headers["content-type"] == "application/problem+json", path
