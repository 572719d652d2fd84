"""How a job stands for fal's clients: three states, and an end that is an HTTP status with a body.

fal's own shapes are in its documentation and its clients' sources; which of our states is which of fal's, and what
each of our errors becomes, is decided here; `app/views/fal.py` shows it. There is no `FAILED`: fal's clients do not
know it.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from app.domain.jobs import Job, JobError, Status

FalState = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
IN_QUEUE: Final = "IN_QUEUE"
IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETED: Final = "COMPLETED"
WAITING = frozenset({Status.QUEUED, Status.SUBMITTING, Status.HELD})
ERROR_TYPE = "X-Fal-Error-Type"
TIMEOUT_TYPE = "X-Fal-Request-Timeout-Type"

OK = 200
BAD_REQUEST = 400
CANCELLED = 499
SERVER_ERROR = 500
BAD_GATEWAY = 502
TIMED_OUT = 504
SENT_AGAIN = frozenset({408, 409, 429})  # by fal's clients, whatever they read
# A submission that fal refused: these of its statuses mean the same to our caller; 404 would mean "unknown id".
REFUSALS_SHOWN = frozenset({400, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class TerminalResponse:
    """How a request has ended at fal's door: the result's status and body; `error` is None for a success."""

    status: int
    body: dict[str, Any]
    error: str | None = None
    error_type: str | None = None
    user_timeout: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """`X-Fal-Error-Type` and `X-Fal-Request-Timeout-Type`, where they say something."""
        found = {} if self.error_type is None else {ERROR_TYPE: self.error_type}
        return {**found, TIMEOUT_TYPE: "user"} if self.user_timeout else found


def app_of(model_id: str) -> str:
    """`owner/alias` of a model id: what stands before `/requests/` in fal's URLs."""
    return "/".join(model_id.split("/")[:2])


def belongs_to_app(job: Job, app: str) -> bool:
    """True when the job can be asked for under this path: its app's, or its whole model id."""
    return app in {app_of(job.model), job.model}


def terminal_response(job: Job, now_ms: int) -> TerminalResponse | None:
    """How the job has ended at fal's door by the store's time `now_ms`; None while it has not.

    1. its caller cancelled it: at once and for good, whatever becomes of it (/v1 tells the truth)
    2. held past the time for its start, or past its deadline: timed out, until somebody finds out what became of it
    3. otherwise its own end
    """
    if job.cancel_requested_ms is not None or job.status is Status.CANCELED:
        return _failed(CANCELLED, "Request cancelled by the client", "client_cancelled")
    if job.status is Status.HELD:
        return _held(job, now_ms)
    if job.status is Status.SUCCEEDED:
        return TerminalResponse(OK, job.output or {})
    if job.status is Status.FAILED:
        return _of_error(job.error or JobError("internal_error", "The request failed."))
    return None


def fal_state(job: Job, now_ms: int) -> FalState:
    """The one of fal's three states."""
    if terminal_response(job, now_ms) is not None:
        return COMPLETED
    return IN_QUEUE if job.status in WAITING else IN_PROGRESS


def _held(job: Job, now_ms: int) -> TerminalResponse | None:
    """A held job's end at fal's door: at the earlier of its two deadlines."""
    if job.start_deadline_ms is not None and job.start_deadline_ms < job.deadline_ms:
        return _not_started() if now_ms >= job.start_deadline_ms else None
    return _failed(TIMED_OUT, "Request timed out", "request_timeout") if now_ms >= job.deadline_ms else None


def _not_started() -> TerminalResponse:
    """The time that the caller gave for the start has passed; the clients do not ask again."""
    return _failed(TIMED_OUT, "Request timed out before it started", "request_timeout", user_timeout=True)


def _failed(
    status: int, text: str, error_type: str | None, *, detail: Any = None, user_timeout: bool = False
) -> TerminalResponse:
    body: dict[str, Any] = {"detail": detail or text, "message": text}
    if error_type is not None:
        body["error_type"] = error_type
    return TerminalResponse(status, body, error=text, error_type=error_type, user_timeout=user_timeout)


def _of_error(error: JobError) -> TerminalResponse:
    """A job's own error: fal's answer where it is about the request, else the fitting one of fal's errors."""
    upstream = error.upstream or {}
    match error.code:
        case "canceled":
            return _failed(CANCELLED, "Request cancelled by the client", "client_cancelled")
        case "start_timeout":
            return _not_started()
        case "deadline_exceeded":
            return _failed(TIMED_OUT, "Request timed out", "request_timeout")
        case "upstream_rejected_input":
            return _as_fal_said(error, upstream, default=BAD_REQUEST)
        case "upstream_error":
            return _as_fal_said(error, upstream, default=SERVER_ERROR)
        case "upstream_rejected":
            status = upstream.get("status")
            shown = status if status in REFUSALS_SHOWN else BAD_REQUEST
            return _failed(shown, error.message, "bad_request" if shown == BAD_REQUEST else None)
        case "bad_upstream_result":
            return _failed(BAD_GATEWAY, error.message, "runner_incomplete_response")
        case _:
            return _failed(SERVER_ERROR, error.message, "internal_error")


def _as_fal_said(error: JobError, upstream: dict[str, Any], *, default: int) -> TerminalResponse:
    """Fal's own status, detail and type; the list of a model's findings where we kept it."""
    status = upstream.get("status")
    if not isinstance(status, int) or status < BAD_REQUEST or status in SENT_AGAIN:
        status = default
    text = upstream.get("detail") or error.message
    return _failed(status, text, upstream.get("error_type"), detail=upstream.get("entries"))
