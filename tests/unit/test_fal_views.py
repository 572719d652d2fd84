"""A job on the fal-compatible API: which of our states is which of fal's, and how each end looks."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain.fal_states import app_of, belongs_to_app, fal_state, terminal_response
from app.domain.jobs import Job, JobError, Status
from app.views.fal import request_urls, status_view

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
JOB = Job(
    id="job_1", team="t", user="u", key="k", model=MODEL, input={}, status=Status.QUEUED, created_ms=0,
    deadline_ms=1000, quoted_micro=1, seconds=5, price_version="1",
)  # fmt: skip


def job(status: Status, **more: Any) -> Job:
    """A job in this state."""
    return replace(JOB, status=status, **more)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.QUEUED, "IN_QUEUE"),
        (Status.SUBMITTING, "IN_QUEUE"),
        (Status.HELD, "IN_QUEUE"),
        (Status.RUNNING, "IN_PROGRESS"),
        (Status.FINALIZING, "IN_PROGRESS"),
        (Status.SUCCEEDED, "COMPLETED"),
        (Status.FAILED, "COMPLETED"),
        (Status.CANCELED, "COMPLETED"),
    ],
)
def test_eight_states_are_three_on_fals_api(status: Status, word: str) -> None:
    """There is no FAILED: Python's client raises at it, and JavaScript's polls forever."""
    assert fal_state(job(status), 0) == word
    view = status_view(job(status), now_ms=0, position=None, queue_url="https://x", logs=None)
    assert view["status"] == word
    assert "logs" in view
    assert ("queue_position" in view) == (word == "IN_QUEUE")


@pytest.mark.parametrize("status", list(Status))
def test_what_was_cancelled_stays_cancelled(status: Status) -> None:
    """Whatever its real end."""
    end = terminal_response(job(status, cancel_requested_ms=1, output={"video": {}}), 0)
    assert end is not None
    assert (end.status, end.error_type, end.headers) == (
        499,
        "client_cancelled",
        {"X-Fal-Error-Type": "client_cancelled"},
    )


@pytest.mark.parametrize(("now_ms", "status"), [(999, None), (1000, 504)])
def test_only_a_held_job_ends_at_its_deadline(now_ms: int, status: int | None) -> None:
    """A running one is cancelled at fal, whose answer decides."""
    end = terminal_response(job(Status.HELD), now_ms)
    assert (end.status if end else None) == status
    assert terminal_response(job(Status.RUNNING), now_ms) is None


@pytest.mark.parametrize(
    ("start_ms", "now_ms", "timeout"),
    [(500, 499, []), (500, 500, ["user"]), (1000, 1000, [None]), (2000, 1000, [None]), (None, 1000, [None])],
)
def test_a_held_job_ends_at_the_earlier_of_its_deadlines(
    start_ms: int | None, now_ms: int, timeout: list[str | None]
) -> None:
    """With the caller's own start timeout the header says so, and no client retries."""
    end = terminal_response(job(Status.HELD, start_deadline_ms=start_ms), now_ms)
    assert [one.headers.get("X-Fal-Request-Timeout-Type") for one in [end] if one is not None] == timeout
    assert end is None or (end.status, end.error_type) == (504, "request_timeout")


@pytest.mark.parametrize("code", ["canceled", "start_timeout", "deadline_exceeded", "upstream_error", "who_knows"])
@pytest.mark.parametrize("upstream", [None, {}, {"status": 409}, {"status": 200, "detail": "odd"}])
def test_every_failure_has_a_status_and_a_sentence(code: str, upstream: dict[str, Any] | None) -> None:
    """Never a success, and never a status that clients retry forever."""
    end = terminal_response(job(Status.FAILED, error=JobError(code, "A sentence.", upstream=upstream)), 0)
    assert end is not None
    assert end.status >= 400
    assert end.status not in {409, 429}
    assert end.error
    assert {"detail", "message"} <= end.body.keys()


def test_a_start_that_never_came_is_the_users_timeout() -> None:
    """Without this header the clients would retry three times."""
    end = terminal_response(job(Status.FAILED, error=JobError("start_timeout", "Late.")), 0)
    assert end is not None
    assert end.headers["X-Fal-Request-Timeout-Type"] == "user"


def test_urls_name_the_app_and_not_the_model() -> None:
    """As fal's do, for old models and for `kling/v4/…`."""
    assert app_of(MODEL) == "fal-ai/kling-video"
    assert app_of("kling/v4/image-to-video") == "kling/v4"
    assert (
        request_urls(JOB, "https://queue.fal.run")["status_url"]
        == "https://queue.fal.run/fal-ai/kling-video/requests/job_1/status"
    )
    assert [belongs_to_app(JOB, app) for app in (app_of(MODEL), MODEL, "fal-ai", MODEL + "/", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
