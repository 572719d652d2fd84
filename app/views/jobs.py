"""A job as its caller sees it, the same in replies, events and webhooks."""

from typing import NotRequired, Required, Unpack, cast

from typing_extensions import TypedDict

from app.domain.clips import shown_output
from app.domain.jobs import Job, Priority, Status
from app.domain.money import format_usd
from app.domain.times import iso
from app.registry.lengths import Basis
from app.services.jobs import JobQuote
from app.views.fields import Object, Time, Usd
from app.views.limits import LimitStateView, limit_state_view


class ClipView(TypedDict):
    """The clip's URL, and what fal says about the file; once it is kept here, what it is by its own bytes.

    `duration` is in seconds, `sha256` in hex; `poster` is its first frame, a JPEG, where the gateway makes them.
    """

    url: str
    poster: NotRequired[str]
    content_type: NotRequired[str]
    file_name: NotRequired[str]
    file_size: NotRequired[int]
    sha256: NotRequired[str]
    duration: NotRequired[float]
    width: NotRequired[int]
    height: NotRequired[int]


class OutputView(TypedDict):
    """A job's output, as the model gives it: `video` is null for a sound or a voice; `duration` is in seconds."""

    video: ClipView | None
    audio: NotRequired[ClipView]
    duration: NotRequired[float]
    voice_id: NotRequired[str]


class ErrorView(TypedDict):
    """Why a job failed, and whether a new job may succeed; `upstream` is fal's own error."""

    code: str
    message: str
    retryable: bool
    upstream: NotRequired[Object]


class PausedView(TypedDict):
    """Why no job is bought at present."""

    reason: str


class JobUrls(TypedDict):
    """Where to read, cancel and follow the job."""

    self: str
    cancel: str
    events: str


class JobData(TypedDict):
    """A job in an event or a webhook: without its input."""

    id: str
    status: Status
    model: str
    output: OutputView | None
    error: ErrorView | None
    quoted_usd: Usd
    charged_usd: Usd | None
    queue_position: int | None
    upstream_paused: PausedView | None
    logs: list[Object]
    metadata: dict[str, str]
    priority: Priority
    user: str
    created_at: Time
    submitted_at: Time | None
    completed_at: Time | None
    deadline_at: Time
    cancel_requested_at: Time | None
    held_reason: str | None
    repeated: bool
    expires_at: Time | None
    urls: JobUrls


class JobView(JobData):
    """A job. `input` is as submitted, an uploaded image as `{type, size, sha256, url}`; null once erased."""

    input: Object | None


class ListedJobView(JobView):
    """A job in a list, with the name of the user who submitted it."""

    user_name: str


class JobPage(TypedDict):
    """A page of jobs, newest first; `next_cursor` is null on the last one.

    `scanned` jobs were looked at. A page looks at a limited number, so it may be short, or empty, before the last.
    """

    data: list[ListedJobView]
    next_cursor: str | None
    has_more: bool
    scanned: int


class QuotedLimit(LimitStateView):
    """A limit's state, and whether enough is left for the job."""

    enough: bool


class QueueView(TypedDict):
    """How long a job would wait, and then run; `position` counts from 0.

    `expected_run_s` is the median of the model's newest jobs; null while none of them has ended.
    """

    position: int
    estimated_wait_s: int | None
    expected_run_s: int | None
    upstream_paused: PausedView | None


class QuoteView(TypedDict):
    """What a job would cost, the limits that it counts against, and how long it would wait.

    `basis` says what the price follows from: the `requested` duration, the length that was `measured` of uploaded
    files, the `ceiling` of a length that is not known (`note` says which), or nothing, for a `flat` price.
    """

    model: str
    quoted_usd: Usd
    price_version: str
    video_seconds: int
    basis: Basis
    note: str | None
    limits: list[QuotedLimit]
    queue: QueueView


class JobContext(TypedDict, total=False):
    """The arguments of `job_data`."""

    base_url: Required[str]
    queue_position: int | None
    upstream_paused: str | None
    repeated: bool


def job_data(
    job: Job,
    *,
    base_url: str,
    queue_position: int | None = None,
    upstream_paused: str | None = None,
    repeated: bool = False,
) -> JobData:
    """The job without its input. `base_url` has no trailing slash.

    `upstream_paused` is why no job of its team is bought at present; it is shown while the job is queued.
    """
    url = f"{base_url}/v1/jobs/{job.id}"
    return {
        "id": job.id,
        # Plain text, of which pydantic's writer of JSON takes a tenth of the time that a member of an enum takes.
        "status": cast("Status", job.status.value),
        "model": job.model,
        "output": _output(job, base_url),
        "error": error_view(job),
        "quoted_usd": format_usd(job.quoted_micro),
        "charged_usd": None if job.charged_micro is None else format_usd(job.charged_micro),
        "queue_position": queue_position,
        "upstream_paused": paused_view(upstream_paused if job.status is Status.QUEUED else None),
        "logs": job.logs,
        "metadata": job.metadata,
        "priority": cast("Priority", job.priority.value),
        "user": job.user,
        "created_at": iso(job.created_ms),
        "submitted_at": iso(job.submitted_ms),
        "completed_at": iso(job.completed_ms),
        "deadline_at": iso(job.deadline_ms),
        "cancel_requested_at": iso(job.cancel_requested_ms),
        "held_reason": job.held_reason,
        "repeated": repeated,
        "expires_at": iso(job.expires_ms),
        "urls": {"self": url, "cancel": f"{url}/cancel", "events": f"{url}/events"},
    }


def job_view(job: Job, **context: Unpack[JobContext]) -> JobView:
    """The job with its input."""
    data = job_data(job, **context)
    return {
        "id": job.id,
        "status": data["status"],
        "model": job.model,
        "input": _shown_input(job),
        **data,
    }


def listed_job_view(job: Job, user_name: str, **context: Unpack[JobContext]) -> ListedJobView:
    """The job in a list."""
    return {**job_view(job, **context), "user_name": user_name}


def quote_view(quoted: JobQuote, *, upstream_paused: str | None) -> QuoteView:
    """The price and the wait of a submission."""
    return {
        "model": quoted.submission.model,
        "quoted_usd": format_usd(quoted.submission.quoted_micro),
        "price_version": quoted.submission.price_version,
        "video_seconds": quoted.submission.seconds,
        "basis": cast("Basis", quoted.submission.basis or "requested"),
        "note": quoted.submission.price_note,
        "limits": [{**limit_state_view(state), "enough": not state.over} for state in quoted.limits],
        "queue": {
            "position": quoted.position,
            "estimated_wait_s": quoted.estimated_wait_s,
            "expected_run_s": quoted.expected_run_s,
            "upstream_paused": paused_view(upstream_paused),
        },
    }


def error_view(job: Job) -> ErrorView | None:
    """Why the job failed, or None."""
    if job.error is None:
        return None
    error: ErrorView = {"code": job.error.code, "message": job.error.message, "retryable": job.error.retryable}
    if job.error.upstream is not None:
        error["upstream"] = job.error.upstream
    return error


def paused_view(reason: str | None) -> PausedView | None:
    """Why no job is bought at present, as callers see it."""
    return None if reason is None else {"reason": reason}


def _shown_input(job: Job) -> Object | None:
    """The input as submitted, with the facts of uploaded images instead of their URLs or data."""
    if job.input is None or not job.images:
        return job.input
    return {name: job.images.get(name, value) for name, value in job.input.items()}


def _output(job: Job, base_url: str) -> OutputView | None:
    """The output, which `app.fal.protocol.read_output` has checked."""
    shown = shown_output(job, base_url=base_url)
    if shown is None or "video" in shown:
        return cast("OutputView | None", shown)
    return cast("OutputView", {"video": None, **shown})
