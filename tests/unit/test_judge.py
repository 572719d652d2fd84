"""What fal's result means for the job and its money: the complete table."""

from typing import Any

import pytest

from app.domain.fal_addresses import FalHosts
from app.domain.jobs import Charge, Job, Status
from app.fal.protocol import Result
from workers.finalize import judge
from workers.poll import MISSING_STATUS

HOSTS = FalHosts.of_settings(queue_url="https://queue.fal.run", rest_url="https://rest.fal.ai")
CLIP = {"video": {"url": "https://v3.fal.media/files/a.mp4"}}
NGINX: Any = None  # the parsed body of a page that is not JSON


def job(**changes: Any) -> Job:
    """A job that fal reports as completed."""
    facts: dict[str, Any] = {
        "id": "job_1",
        "team": "team_1",
        "user": "user_1",
        "key": "key_1",
        "model": "fal-ai/kling-video/v2/master/image-to-video",
        "input": {"prompt": "a lake"},
        "status": Status.FINALIZING,
        "created_ms": 0,
        "deadline_ms": 1,
        "quoted_micro": 1_400_000,
        "seconds": 5,
        "price_version": "x",
        "upstream_status": "COMPLETED",
    }
    return Job(**(facts | changes))


def detail(kind: str) -> dict[str, Any]:
    """A model's own error, which repeats the input."""
    entry = {"loc": ["body", "image_url"], "msg": f"the {kind}", "type": kind, "input": {"prompt": "a lake"}}
    return {"detail": [entry]}


def request_error(kind: str) -> dict[str, Any]:
    """An error of fal's infrastructure."""
    return {"detail": "Request failed", "error_type": kind}


TABLE: list[tuple[int, Any, str | None, str | None, Charge]] = [
    # status, body, error type → our code (None: succeeded), money
    (200, CLIP, None, None, Charge.SPEND),
    (200, {}, None, "bad_upstream_result", Charge.SPEND),
    (200, NGINX, None, "bad_upstream_result", Charge.SPEND),
    (200, {"video": {"url": "http://10.0.0.1/a.mp4"}}, None, "bad_upstream_result", Charge.SPEND),
    (400, request_error("bad_request"), "bad_request", "upstream_rejected_input", Charge.DISPUTE),
    (404, {"detail": "Request not found"}, None, "result_unavailable", Charge.SPEND),
    (410, NGINX, None, "result_unavailable", Charge.SPEND),
    (422, detail("image_load_error"), None, "upstream_rejected_input", Charge.DISPUTE),
    (422, detail("content_policy_violation"), None, "upstream_rejected_input", Charge.DISPUTE),
    (500, detail("downstream_service_error"), None, "upstream_error", Charge.RELEASE),
    (500, request_error("internal_error"), "internal_error", "upstream_error", Charge.RELEASE),
    (502, NGINX, None, "result_unavailable", Charge.SPEND),
    (503, request_error("runner_disconnected"), "runner_disconnected", "upstream_error", Charge.RELEASE),
    (504, request_error("request_timeout"), "request_timeout", "upstream_error", Charge.RELEASE),
    (504, request_error("startup_timeout"), "startup_timeout", "upstream_error", Charge.RELEASE),
]


@pytest.mark.parametrize(("status", "body", "error_type", "code", "charge"), TABLE)
def test_a_result_decides_state_and_money(
    status: int, body: Any, error_type: str | None, code: str | None, charge: Charge
) -> None:
    """One row for each kind of answer."""
    end, money, error, output = judge(job(), Result(status, body, error_type), hosts=HOSTS)
    assert end is (Status.FAILED if code else Status.SUCCEEDED)
    assert (error.code if error else None, money) == (code, charge)
    assert (output is not None) == (code is None)


@pytest.mark.parametrize(
    ("changes", "end", "code"),
    [
        ({"cancel_requested_ms": 5}, Status.CANCELED, "canceled"),
        ({"cancel_sent_ms": 5, "deadline_ms": 9}, Status.FAILED, "deadline_exceeded"),
        ({"upstream_done_ms": 9, "deadline_ms": 9}, Status.FAILED, "deadline_exceeded"),
        ({"upstream_done_ms": 8, "deadline_ms": 9}, Status.FAILED, "upstream_error"),
    ],
)
def test_a_cancelled_request_ends_by_who_cancelled_it(changes: dict[str, Any], end: Status, code: str) -> None:
    """By the caller: canceled. By us at the deadline, or at fal before it: failed. Fal may charge in each case."""
    result = Result(499, request_error("client_cancelled"), "client_cancelled")
    found, money, error, _ = judge(job(**changes), result, hosts=HOSTS)
    assert (found, money, error.code if error else None) == (end, Charge.DISPUTE, code)


def test_a_clip_that_came_in_spite_of_the_cancel_is_a_success() -> None:
    """It was made and charged, so it is shown."""
    end, money, _, output = judge(job(cancel_requested_ms=5), Result(200, CLIP, None), hosts=HOSTS)
    assert (end, money, output) == (Status.SUCCEEDED, Charge.SPEND, CLIP)


def test_a_request_that_fal_forgot_is_disputed() -> None:
    """Fal never reported its completion: whether it charged is unknown."""
    gone = Result(404, {"detail": "Request not found"}, None)
    end, money, error, _ = judge(job(upstream_status=MISSING_STATUS), gone, hosts=HOSTS)
    assert (end, money, error.code if error else None) == (Status.FAILED, Charge.DISPUTE, "result_unavailable")


@pytest.mark.parametrize(("start_deadline_ms", "code"), [(None, "upstream_error"), (60_000, "start_timeout")])
def test_a_start_deadline_that_passed_at_fal_is_named(start_deadline_ms: int | None, code: str) -> None:
    """A 504 means the caller's own start deadline if there was one; a new submission may succeed."""
    result = Result(504, request_error("request_timeout"), "request_timeout")
    _, money, error, _ = judge(job(start_deadline_ms=start_deadline_ms), result, hosts=HOSTS)
    assert error is not None
    assert (error.code, error.retryable, money) == (code, True, Charge.RELEASE)


def test_fals_words_come_short_and_without_the_input() -> None:
    """`upstream` has status and reason; a long text is cut, and the caller's input is not repeated."""
    _, _, error, _ = judge(job(), Result(422, detail("image_load_error"), None), hosts=HOSTS)
    assert error is not None
    text = "body.image_url: the image_load_error"
    entry = {"loc": ["body", "image_url"], "msg": "the image_load_error", "type": "image_load_error"}
    assert error.upstream == {"status": 422, "detail": text, "error_type": None, "entries": [entry]}
    _, _, error, _ = judge(job(), Result(422, {"detail": "x" * 5000}, None), hosts=HOSTS)
    assert error is not None
    assert error.upstream is not None
    assert len(error.upstream["detail"]) == 300


@pytest.mark.parametrize(
    "body", [None, [], "text", 7, {"detail": {"a": 1}}, {"detail": [1, None, "x"]}, {"detail": None}]
)
def test_no_shape_of_refusal_breaks_the_judge(body: Any) -> None:
    """Whatever is next to the status, there is a verdict."""
    end, money, _, _ = judge(job(), Result(422, body, None), hosts=HOSTS)
    assert (end, money) == (Status.FAILED, Charge.DISPUTE)
