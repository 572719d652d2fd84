"""Jobs, errors and webhooks in fal's shapes, which its documentation and its clients' sources define.

`app/domain/fal_states.py` maps our states to fal's.
"""

from dataclasses import replace
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from app.domain.clips import shown_output
from app.domain.fal_states import IN_QUEUE, OK, FalState, TerminalResponse, app_of, fal_state, terminal_response
from app.domain.jobs import Job
from app.views.fields import Object, Time

# fal's own sentence for a result that is not in the message; receivers fetch the result instead.
NO_PAYLOAD = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint"
    " to retrieve the response."
)


class FalLog(TypedDict):
    """A log line, with the members that fal's clients read."""

    message: str
    timestamp: str | None
    level: str
    source: str


class FalMetrics(TypedDict):
    """How long fal took, in seconds; empty until that is known."""

    inference_time: NotRequired[float]


class FalUrls(TypedDict):
    """A request's URLs; as fal's, they contain the app and not the whole model id."""

    response_url: str
    status_url: str
    cancel_url: str


class FalStatus(FalUrls):
    """A request's state; `queue_position` counts from 0, `error` is present once it has failed."""

    status: FalState
    request_id: str
    logs: list[FalLog] | None
    metrics: FalMetrics
    queue_position: NotRequired[int]
    error: NotRequired[str]
    error_type: NotRequired[str]


class FalSubmitted(FalStatus):
    """The reply to a submission; `gateway_request_id` is the request id too: a caller sees one attempt of ours."""

    gateway_request_id: str


class FalCancelled(TypedDict):
    """The cancellation was requested."""

    status: Literal["CANCELLATION_REQUESTED"]


class FalError(TypedDict):
    """An error: `detail` is a sentence, or for a 422 a list of `{loc, msg, type, url, ctx?}`."""

    detail: str | list[Object]
    message: str
    error_type: NotRequired[str]
    status: NotRequired[Literal["NOT_FOUND", "ALREADY_COMPLETED"]]


class FalMessage(TypedDict):
    """The body of a webhook in fal's form: the result, with its HTTP status as a text."""

    request_id: str
    gateway_request_id: str
    status: Literal["OK", "ERROR"]
    payload: Object | None
    error: NotRequired[str]
    payload_error: NotRequired[str]


class FalUploadToken(TypedDict):
    """A token for uploads."""

    token: str
    token_type: Literal["Bearer"]
    base_url: str
    expires_at: Time


class FalUpload(TypedDict):
    """Where to PUT a file's bytes, and the URL that the file will have."""

    upload_url: str
    file_url: str


class FalFile(TypedDict):
    """An uploaded file."""

    access_url: str


class FalParts(TypedDict):
    """An upload in parts."""

    access_url: str
    uploadId: str


class FalPart(TypedDict):
    """A part that was stored."""

    partNumber: int
    etag: str


class FalCompleted(TypedDict):
    """A completed upload."""

    uploadId: str


def request_urls(job: Job, queue_url: str) -> FalUrls:
    """The URLs of a request at the queue that the caller knows."""
    url = f"{queue_url}/{app_of(job.model)}/requests/{job.id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def status_view(
    job: Job, *, now_ms: int, position: int | None, queue_url: str, logs: list[Object] | None
) -> FalStatus:
    """The status in fal's shape; `position` counts from 0, `logs` is None if they were not requested."""
    word, end = fal_state(job, now_ms), terminal_response(job, now_ms)
    urls = request_urls(job, queue_url)
    view: FalStatus = {
        "status": word,
        "request_id": job.id,
        "response_url": urls["response_url"],
        "status_url": urls["status_url"],
        "cancel_url": urls["cancel_url"],
        "logs": None if logs is None else [_log(line) for line in logs],
        "metrics": {} if end is None else _metrics(job),
    }
    if word == IN_QUEUE:
        view["queue_position"] = position or 0
    if end is not None and end.error is not None:
        view["error"] = end.error
    if end is not None and end.error_type is not None:
        view["error_type"] = end.error_type
    return view


def fal_result(job: Job, now_ms: int, *, base_url: str) -> TerminalResponse | None:
    """The job's result as fal's clients get it: its files at the addresses that callers get."""
    end = terminal_response(job, now_ms)
    if end is None or end.status != OK:
        return end
    return replace(end, body=shown_output(job, base_url=base_url) or {})


def fal_message(request_id: str, end: TerminalResponse) -> FalMessage:
    """The body of a webhook; `end` is what the result URL at fal's door answers.

    A caller sees one attempt of ours, so that `gateway_request_id` is the request id too.
    """
    message: FalMessage = {
        "request_id": request_id,
        "gateway_request_id": request_id,
        "status": "OK" if end.status == OK else "ERROR",
        "payload": end.body or None,
    }
    if end.status != OK:
        message["error"] = f"Invalid status code: {end.status}"
    if not end.body:
        message["payload_error"] = NO_PAYLOAD
    return message


def _log(line: dict[str, Any]) -> FalLog:
    return {
        "message": line.get("message", ""),
        "timestamp": line.get("timestamp"),
        "level": line.get("level") or "INFO",
        "source": line.get("source") or "USER",
    }


def _metrics(job: Job) -> FalMetrics:
    done_ms = job.upstream_done_ms or job.completed_ms
    if job.submitted_ms is None or done_ms is None:
        return {}
    return {"inference_time": round((done_ms - job.submitted_ms) / 1000, 3)}
