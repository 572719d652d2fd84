"""fal's queue: what is `https://queue.fal.run/…` for fal's clients is `/fal/queue/…` here.

`{app}` is `owner/alias`, as fal hands it out, or the whole model id, as many clients build it; its slashes stand as
they are.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event
from starlette.convertors import PathConvertor, register_url_convertor

from app.api.deps import CurrentCaller, TheGateway, get_gateway, job_reader
from app.api.document_responses import LIVE, refusals
from app.api.event_stream import event_stream
from app.api.fal.submission import ReadFalSubmission, answer_headers
from app.api.fal_errors import REQUEST_ID, fal_reply, not_found
from app.api.limit_headers import limit_headers
from app.api.reads import Reads, query, reads
from app.domain.accounts import Caller
from app.domain.errors import Conflict, NotFound
from app.domain.fal_states import terminal_response
from app.gateway import Gateway
from app.services.fal_compat import RequestState
from app.views.fal import FalCancelled, FalError, FalStatus, status_view
from app.views.fields import Object

PING_S = 8.0  # a comment at least every ten seconds
PENDING = {"detail": "Request is still in progress", "message": "Request is still in progress"}
RESULTS = refusals(413, 415, 499, 500, 502, 504)
STATUSES = {**LIVE, "description": "The status, whenever it changes, in `data`"}
LOGS = query("logs", "`1` or `true`: with fal's log lines")
REQUEST = "/{app:path}/requests/{request_id}"


class ModelPath(PathConvertor):
    """A path that may be a model's: none below a request, where other methods are refused as what they are."""

    regex = "(?!.*/requests/).*"


register_url_convertor("model", ModelPath())
router = APIRouter(prefix="/fal/queue", tags=["queue"])


@dataclass(frozen=True, slots=True)
class Poll:
    """A question about one request: who asks, under which path, and whether log lines are wanted."""

    caller: Caller
    gateway: Gateway
    app: str
    request_id: str
    logs: bool
    trace_id: str

    async def look(self) -> RequestState | None:
        """The job; None where there is none for this caller under this path."""
        try:
            return await self.gateway.fal_compat.read(self.caller, self.app, self.request_id)
        except NotFound:
            return None


@reads(Reads(key=True, parameters=(LOGS,)))
async def polling(request: Request) -> Poll:
    """Read a poll. One dependency and not five: Python's client polls ten times a second.

    Log lines are asked for by `logs=1` (JavaScript) or `logs=true` (Python).
    """
    gateway = await get_gateway(request)
    caller = await job_reader(request, gateway)
    wanted = request.query_params.get("logs", "").lower() in {"1", "true"}
    path = request.path_params
    return Poll(caller, gateway, path["app"], path["request_id"], wanted, request.scope["trace_id"])


Polled = Annotated[Poll, Depends(polling)]


@router.post("/{model_id:model}", response_model=FalStatus, responses=refusals(402), summary="Submit")
async def submit(request: Request, incoming: ReadFalSubmission) -> Response:
    """Admit a job: 200 with its id and URLs, also for a repeat."""
    compat = incoming.gateway.fal_compat
    taken = await compat.submit(
        incoming.caller,
        incoming.request,
        surface="queue",
        idempotency_key=incoming.key,
        trace_id=request.scope["trace_id"],
    )
    seen = RequestState(taken.job, taken.submitted.position, taken.job.created_ms)
    view = _view(incoming.gateway.settings.base_url, seen, logs=None)
    headers = {**answer_headers(taken.job, taken=taken), **limit_headers(taken.submitted.limits)}
    reply = fal_reply(view, 200, headers)
    if not await request.is_disconnected():
        reply.background = BackgroundTasks()
        reply.background.add_task(compat.acknowledge, taken, surface="queue")
    return reply


@router.get(
    REQUEST + "/status",
    response_model=FalStatus,
    responses={202: {"model": FalStatus, "description": "It waits or runs"}},
    summary="How a request stands",
)
async def status(poll: Polled) -> Response:
    """202 while the request waits or runs, 200 once it has ended; a failure is told by the result's own status."""
    seen = await poll.look()
    if seen is None:
        return not_found(poll.trace_id, status_word=True)
    view = _view(poll.gateway.settings.base_url, seen, logs=seen.job.logs if poll.logs else None)
    return fal_reply(view, 200 if seen.ended else 202, answer_headers(seen.job))


@router.get(
    REQUEST + "/status/stream",
    response_class=StreamingResponse,
    responses={200: STATUSES},
    summary="Follow a request",
)
async def status_stream(request: Request, poll: Polled) -> Response:
    """The status whenever it changes, as server-sent events, until the end or until the key opens nothing."""
    first, gateway, caller = await poll.look(), poll.gateway, poll.caller
    if first is None:
        return not_found(poll.trace_id, status_word=True)
    frames = gateway.fal_compat.follow(caller, poll.app, first)
    return await event_stream(request, gateway, caller, frames, _writer(poll), headers=answer_headers(first.job))


@router.get(REQUEST, response_model=Object, responses=RESULTS, summary="What it made")
@router.get(REQUEST + "/response", name="response", response_model=Object, responses=RESULTS, summary="The same")
async def result(poll: Polled) -> Response:
    """The bare output, or the error with its own status; 400 while there is neither."""
    seen = await poll.look()
    return not_found(poll.trace_id, status_word=False) if seen is None else result_of(seen, poll.trace_id)


@router.put(REQUEST + "/cancel", status_code=202, response_model=FalCancelled, summary="Cancel a request")
async def cancel(
    request: Request, app: str, request_id: str, caller: CurrentCaller, gateway: TheGateway
) -> Response:
    """Ask for the request's end; no body is read, for the clients send none or an empty one."""
    try:
        job = await gateway.fal_compat.cancel(caller, app, request_id)
    except NotFound:
        return not_found(request.scope["trace_id"], status_word=True)
    except Conflict as error:
        ended: FalError = {"status": "ALREADY_COMPLETED", "detail": error.message, "message": error.message}
        return fal_reply(ended, 400, {REQUEST_ID: request_id, "Cache-Control": "no-store"})
    return fal_reply({"status": "CANCELLATION_REQUESTED"}, 202, answer_headers(job))


def result_of(seen: RequestState, trace_id: str, *, headers: dict[str, str] | None = None) -> Response:
    """The result as fal answers it; an erased job's is gone."""
    end = terminal_response(seen.job, seen.now_ms)
    told = {**answer_headers(seen.job), **(headers or {})}
    if end is None:
        return fal_reply(PENDING, 400, told)
    if seen.job.erased:
        return not_found(trace_id, status_word=False)
    return fal_reply(end.body, end.status, {**told, **end.headers})


def _view(base_url: str, seen: RequestState, *, logs: list[dict[str, Any]] | None) -> FalStatus:
    return status_view(seen.job, now_ms=seen.now_ms, position=seen.position, base_url=base_url, logs=logs)


def _writer(poll: Poll) -> Callable[[RequestState | None], Awaitable[bytes]]:
    """Writes a frame for each change, with the log lines that are new; a comment when there is long none."""
    clock = asyncio.get_running_loop().time
    said, told, silent_until = "", 0, clock() + PING_S

    async def write(seen: RequestState | None) -> bytes:
        nonlocal said, told, silent_until
        if seen is not None:
            lines = seen.job.logs[told:]
            view = _view(poll.gateway.settings.base_url, seen, logs=lines if poll.logs else None)
            mark = f"{view['status']} {view.get('queue_position')}"
            if mark != said or (poll.logs and lines):
                said, told, silent_until = mark, len(seen.job.logs), clock() + PING_S
                return format_sse_event(data_str=json.dumps(view, ensure_ascii=False))
        if clock() < silent_until:
            return b""
        silent_until = clock() + PING_S
        return format_sse_event(comment="ping")

    return write
