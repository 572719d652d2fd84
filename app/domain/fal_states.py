"""A job as fal's clients see it: three states, and a terminal response, which is an HTTP status with a body.

This maps our states and errors to fal's; `app/views/fal.py` renders them. fal's shapes are those of its
documentation and its clients' sources. There is no `FAILED`, which fal's clients do not know.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.domain.jobs import Job, JobError, Status

FalState = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
IN_QUEUE: Final = "IN_QUEUE"
IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETED: Final = "COMPLETED"
WAITING = frozenset({Status.QUEUED, Status.SUBMITTING, Status.HELD})
ERROR_TYPE = "X-Fal-Error-Type"
TIMEOUT_TYPE = "X-Fal-Request-Timeout-Type"
BILLABLE_UNITS = "X-Fal-Billable-Units"

OK = 200
BAD_REQUEST = 400
CANCELLED = 499
SERVER_ERROR = 500
BAD_GATEWAY = 502
TIMED_OUT = 504
RETRIED_BY_CLIENTS = frozenset({408, 409, 429})  # fal's clients repeat any request that these answer
# Statuses of a refused submission that callers get as they are; 404 would mean an unknown id.
PASSED_ON = frozenset({400, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class TerminalResponse:
    """The result of a request for fal's clients: status and body; `error` is None for a success."""

    status: int
    body: dict[str, Any]
    error: str | None = None
    error_type: str | None = None
    user_timeout: bool = False
    billable_units: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """`X-Fal-Error-Type`, `X-Fal-Request-Timeout-Type` and `X-Fal-Billable-Units`, where they apply."""
        headers = {ERROR_TYPE: self.error_type, BILLABLE_UNITS: self.billable_units}
        headers[TIMEOUT_TYPE] = "user" if self.user_timeout else None
        return {name: value for name, value in headers.items() if value is not None}


def app_of(model_id: str) -> str:
    """`owner/alias` of a model id: the part before `/requests/` in fal's URLs."""
    return "/".join(model_id.split("/")[:2])


def belongs_to_app(job: Job, app: str) -> bool:
    """True when the job has this path: its app, or its whole model id."""
    return app in {app_of(job.model), job.model}


def terminal_response(job: Job, now_ms: int) -> TerminalResponse | None:
    """The job's result for fal's clients at the store's time `now_ms`; None while it has none.

    1. its caller cancelled it: cancelled at once, whatever happens to it later (/v1 shows that)
    2. held past its start deadline or its deadline: timed out, until its outcome is known
    3. otherwise its own end
    """
    if job.cancel_requested_ms is not None or job.status is Status.CANCELED:
        return _failed(CANCELLED, "Request cancelled by the client", "client_cancelled")
    if job.status is Status.HELD:
        return _held(job, now_ms)
    if job.status is Status.SUCCEEDED:
        return TerminalResponse(OK, job.output or {}, billable_units=job.billable_units)
    if job.status is Status.FAILED:
        end = _of_error(job.error or JobError("internal_error", "The request failed."))
        return replace(end, billable_units=job.billable_units)
    return None


def fal_state(job: Job, now_ms: int) -> FalState:
    """The job's state for fal's clients."""
    if terminal_response(job, now_ms) is not None:
        return COMPLETED
    return IN_QUEUE if job.status in WAITING else IN_PROGRESS


def _held(job: Job, now_ms: int) -> TerminalResponse | None:
    """A held job has its result at the earlier of its two deadlines."""
    if job.start_deadline_ms is not None and job.start_deadline_ms < job.deadline_ms:
        return _not_started() if now_ms >= job.start_deadline_ms else None
    return _failed(TIMED_OUT, "Request timed out", "request_timeout") if now_ms >= job.deadline_ms else None


def _not_started() -> TerminalResponse:
    """The caller's start timeout has passed; fal's clients do not retry this."""
    return _failed(TIMED_OUT, "Request timed out before it started", "request_timeout", user_timeout=True)


def _failed(
    status: int, text: str, error_type: str | None, *, detail: Any = None, user_timeout: bool = False
) -> TerminalResponse:
    body: dict[str, Any] = {"detail": detail or text, "message": text}
    if error_type is not None:
        body["error_type"] = error_type
    return TerminalResponse(status, body, error=text, error_type=error_type, user_timeout=user_timeout)


def _of_error(error: JobError) -> TerminalResponse:
    """The result of a failed job: fal's answer where the request was wrong, else the equivalent error."""
    upstream = error.upstream or {}
    match error.code:
        case "canceled":
            return _failed(CANCELLED, "Request cancelled by the client", "client_cancelled")
        case "start_timeout":
            return _not_started()
        case "deadline_exceeded":
            return _failed(TIMED_OUT, "Request timed out", "request_timeout")
        case "upstream_rejected_input":
            return _of_upstream(error, upstream, default=BAD_REQUEST)
        case "upstream_error":
            return _of_upstream(error, upstream, default=SERVER_ERROR)
        case "upstream_rejected":
            status = upstream.get("status")
            status = status if status in PASSED_ON else BAD_REQUEST
            return _failed(status, error.message, "bad_request" if status == BAD_REQUEST else None)
        case "bad_upstream_result":
            return _failed(BAD_GATEWAY, error.message, "runner_incomplete_response")
        case _:
            return _failed(SERVER_ERROR, error.message, "internal_error")


def _of_upstream(error: JobError, upstream: dict[str, Any], *, default: int) -> TerminalResponse:
    """Fal's own status, detail and type; with the list of the input's faults where it was stored."""
    status = upstream.get("status")
    if not isinstance(status, int) or status < BAD_REQUEST or status in RETRIED_BY_CLIENTS:
        status = default
    text = upstream.get("detail") or error.message
    return _failed(status, text, upstream.get("error_type"), detail=upstream.get("entries"))
