"""fal's queue: `/fal/queue/…` is what `https://queue.fal.run/…` is at fal.

`{app}` is `owner/alias`, as in fal's URLs, or the whole model id, as many clients build it; slashes are not
escaped.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from starlette.convertors import PathConvertor, register_url_convertor

from app.api.busy_routes import busy
from app.api.deps import FAL_TOKEN, CurrentCaller, TheGateway, get_gateway, in_address, job_reader
from app.api.document_responses import LIVE, refusals
from app.api.event_stream import event_stream
from app.api.fal.hosts import terms_of
from app.api.fal.submission import ReadFalSubmission, job_headers, read_submission
from app.api.fal_errors import REQUEST_ID, fal_reply, not_found
from app.api.limit_headers import limit_headers
from app.api.query import given_query
from app.api.reads import Reads, query, reads
from app.domain.accounts import Caller
from app.domain.errors import Conflict, NotFound
from app.domain.fal_targets import Terms
from app.gateway import Gateway
from app.services.fal_compat import RequestState
from app.views.fal import FalCancelled, FalError, FalStatus, FalSubmitted, fal_result, status_view
from app.views.fields import Object

PING_S = 8.0  # a comment at least every ten seconds
PENDING = {"detail": "Request is still in progress", "message": "Request is still in progress"}
RESULTS = refusals(413, 415, 499, 500, 502, 504)
STATUSES = {**LIVE, "description": "The status at each change, in `data`"}
LOGS = query("logs", "`1` or `true`: with fal's log lines")
REQUEST = "/{app:path}/requests/{request_id}"


class ModelPath(PathConvertor):
    """A model's path: none below a request, so that a wrong method there is 405."""

    regex = "(?!.*/requests/).*"


register_url_convertor("model", ModelPath())
router = APIRouter(prefix="/fal/queue", tags=["queue"])


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll of one request: caller, path, and whether log lines are wanted.

    `holder` is who has the token in the address, where that is not the caller as whom the request is read.
    """

    caller: Caller
    gateway: Gateway
    app: str
    request_id: str
    logs: bool
    holder: Caller | None = None

    async def state(self) -> RequestState | None:
        """The job; None when this caller has none under this path."""
        try:
            return await self.gateway.fal_compat.read(self.caller, self.app, self.request_id)
        except NotFound:
            return None


@reads(Reads(key=True, parameters=(LOGS,)))
async def polling(request: Request) -> Poll:
    """Read a poll. One dependency instead of five: Python's client polls ten times a second."""
    gateway = await get_gateway(request)
    return _poll(request, gateway, await job_reader(request, gateway))


@reads(Reads(key=True, parameters=(LOGS, FAL_TOKEN)))
async def following(request: Request) -> Poll:
    """Read a request for the stream.

    fal's client (`connectionMode: client`) submits with its key, and opens the stream with a token that it made
    with this key. So a token in the address may also follow what was submitted with the very key it was made with.
    """
    gateway = await get_gateway(request)
    holder = await in_address(request, gateway)
    poll = _poll(request, gateway, holder or await job_reader(request, gateway))
    if holder is None or holder.job is not None or await poll.state() is not None:
        return poll
    with_key = replace(poll, caller=replace(holder, token=None), holder=holder)
    found = await with_key.state()
    made_with_it = found is not None and (found.job.key, found.job.token) == (holder.key, None)
    return with_key if made_with_it else poll


def _poll(request: Request, gateway: Gateway, caller: Caller) -> Poll:
    """`logs=1` (JavaScript) or `logs=true` (Python) requests log lines."""
    wanted = given_query(request).get("logs", "").lower() in {"1", "true"}
    path = request.path_params
    return Poll(caller, gateway, path["app"], path["request_id"], wanted)


Polled = Annotated[Poll, Depends(polling)]
Followed = Annotated[Poll, Depends(following)]


@router.post("/{model_id:model}", response_model=FalSubmitted, responses=refusals(402), summary="Submit")
@busy(read_submission)
async def submit(request: Request, incoming: ReadFalSubmission) -> Response:
    """Admits a job: 200 with its id and URLs, also for a repeat."""
    submission = await incoming.submit("queue")
    job, submitted = submission.job, submission.submitted
    state = RequestState(job, submitted.position, job.created_ms)
    headers = {**job_headers(job, submission=submission), **limit_headers(submitted.limits)}
    view: FalSubmitted = {**_view(terms_of(request), state, logs=None), "gateway_request_id": job.id}
    reply = fal_reply(view, 200, headers)
    return await incoming.recorded(reply, request, submission)


@router.get(
    REQUEST + "/status",
    response_model=FalStatus,
    responses={202: {"model": FalStatus, "description": "It waits or runs"}},
    summary="The status of a request",
)
@busy(polling)
async def status(request: Request, poll: Polled) -> Response:
    """202 while the request waits or runs, 200 once it has ended; the result's own status tells a failure."""
    state = await poll.state()
    if state is None:
        return not_found(request.scope["trace_id"], status_word=True)
    view = _view(terms_of(request), state, logs=state.job.logs if poll.logs else None)
    return fal_reply(view, 200 if state.ended else 202, job_headers(state.job))


@router.get(
    REQUEST + "/status/stream",
    response_class=StreamingResponse,
    responses={200: STATUSES},
    summary="Follow a request",
)
async def status_stream(request: Request, poll: Followed) -> Response:
    """The status at each change, as server-sent events, until the end or until the key is revoked."""
    first, gateway, caller = await poll.state(), poll.gateway, poll.caller
    if first is None:
        return not_found(request.scope["trace_id"], status_word=True)
    states, write = gateway.fal_compat.follow(caller, poll.app, first), _writer(terms_of(request), logs=poll.logs)
    return await event_stream(gateway, poll.holder or caller, states, write, headers=job_headers(first.job))


@router.get(REQUEST, response_model=Object, responses=RESULTS, summary="What it made")
@router.get(REQUEST + "/response", name="response", response_model=Object, responses=RESULTS, summary="The same")
async def result(request: Request, poll: Polled) -> Response:
    """The bare output, or the error with its own status; 400 while there is neither."""
    state, trace_id = await poll.state(), request.scope["trace_id"]
    if state is None:
        return not_found(trace_id, status_word=False)
    return result_of(state, trace_id, base_url=poll.gateway.settings.base_url)


@router.put(REQUEST + "/cancel", status_code=202, response_model=FalCancelled, summary="Cancel a request")
async def cancel(
    request: Request, app: str, request_id: str, caller: CurrentCaller, gateway: TheGateway
) -> Response:
    """Asks for the request's end; no body is read: clients send none or an empty one."""
    try:
        job = await gateway.fal_compat.cancel(caller, app, request_id)
    except NotFound:
        return not_found(request.scope["trace_id"], status_word=True)
    except Conflict as error:
        ended: FalError = {"status": "ALREADY_COMPLETED", "detail": error.message, "message": error.message}
        return fal_reply(ended, 400, {REQUEST_ID: request_id})
    return fal_reply({"status": "CANCELLATION_REQUESTED"}, 202, job_headers(job))


def result_of(
    state: RequestState, trace_id: str, *, base_url: str, headers: dict[str, str] | None = None
) -> Response:
    """The result as fal returns it; 404 for an erased job."""
    end = fal_result(state.job, state.now_ms, base_url=base_url)
    headers = {**job_headers(state.job), **(headers or {})}
    if end is None:
        return fal_reply(PENDING, 400, headers)
    if state.job.erased:
        return not_found(trace_id, status_word=False)
    return fal_reply(end.body, end.status, {**headers, **end.headers})


def _view(terms: Terms, state: RequestState, *, logs: list[dict[str, Any]] | None) -> FalStatus:
    return status_view(state.job, now_ms=state.now_ms, position=state.position, queue_url=terms.queue, logs=logs)


def _writer(terms: Terms, *, logs: bool) -> Callable[[RequestState | None], Awaitable[bytes]]:
    """Renders a frame at each change, with the new log lines; a comment after a time without one."""
    clock = asyncio.get_running_loop().time
    last_status, logs_sent, ping_at = "", 0, clock() + PING_S

    async def write(state: RequestState | None) -> bytes:
        nonlocal last_status, logs_sent, ping_at
        if state is not None:
            lines = state.job.logs[logs_sent:]
            view = _view(terms, state, logs=lines if logs else None)
            status = f"{view['status']} {view.get('queue_position')}"
            if status != last_status or (logs and lines):
                last_status, logs_sent, ping_at = status, len(state.job.logs), clock() + PING_S
                return format_sse_event(data_str=json.dumps(view, ensure_ascii=False))
        if clock() < ping_at:
            return b""
        ping_at = clock() + PING_S
        return format_sse_event(comment="ping")

    return write
