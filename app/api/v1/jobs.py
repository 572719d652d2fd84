"""Jobs over HTTP."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import pydantic_core
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import format_sse_event

from app.api.body import json_body, release_body
from app.api.busy_routes import busy
from app.api.deps import (
    IDEMPOTENCY_KEY,
    PREFER,
    CurrentCaller,
    LastEventId,
    OwnJob,
    TheGateway,
    WatchedJob,
    Watcher,
    current_caller,
    get_gateway,
    idempotency_key,
    job_reader,
    preferred_wait,
)
from app.api.document_responses import LIVE, NO_CONTENT, refusals
from app.api.event_stream import SENT, event_stream, sent_event
from app.api.job_filters import JobFilter, Text, with_words
from app.api.limit_headers import limit_headers
from app.api.long_poll import long_poll
from app.api.middleware import TRACE_SAMPLED
from app.api.paging import PageCursor, PageSize, link_to_next
from app.api.reads import Reads, reads
from app.api.v1.bodies import JobBody
from app.domain.accounts import Caller
from app.domain.errors import StoreUnavailable
from app.domain.events import Event
from app.domain.jobs import Job, Status
from app.gateway import Gateway
from app.services.live import Frame
from app.views.events import job_event
from app.views.history import HistoryView, history_view
from app.views.jobs import JobPage, JobView, QuoteView, job_view, listed_job_view, quote_view

ENDED = "It ended within `Prefer: wait=N`"
router = APIRouter(prefix="/v1", tags=["jobs"])
read_job_body = json_body(JobBody)
ReadJob = Annotated[JobBody, Depends(read_job_body)]


@dataclass(frozen=True, slots=True)
class IncomingSubmission:
    """A submission as it arrived: caller, body, idempotency key, and seconds to wait."""

    caller: Caller
    gateway: Gateway
    body: JobBody
    key: str | None
    wait: int


@reads(Reads(key=True, body=JobBody, parameters=(IDEMPOTENCY_KEY, PREFER)))
async def read_submission(request: Request) -> IncomingSubmission:
    """Read a submission. One dependency instead of five: here each costs as much as the price check.

    The key is checked first: without one, no body is read.
    """
    gateway = await get_gateway(request)
    caller = await current_caller(request, gateway)
    body = await read_job_body(request)
    return IncomingSubmission(caller, gateway, body, await idempotency_key(request), await preferred_wait(request))


ReadSubmission = Annotated[IncomingSubmission, Depends(read_submission)]


@dataclass(frozen=True, slots=True)
class JobPoll:
    """A poll of one job: its caller, who may read it, its position in line, and the seconds to wait."""

    caller: Caller
    gateway: Gateway
    job: Job
    position: int | None
    wait: int


@reads(Reads(key=True, parameters=(PREFER,)))
async def read_poll(request: Request, job_id: str) -> JobPoll:
    """Read a poll of one job; also with a browser token for it."""
    gateway = await get_gateway(request)
    caller = await job_reader(request, gateway)
    job, position = await gateway.jobs.get_with_position(caller, job_id)
    return JobPoll(caller, gateway, job, position, await preferred_wait(request))


ReadPoll = Annotated[JobPoll, Depends(read_poll)]


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobView,
    responses={200: {"model": JobView, "description": ENDED}, **refusals(402, 404)},
    summary="Ask for a clip",
)
@busy(read_submission)
async def submit_job(request: Request, incoming: ReadSubmission) -> Response:
    """Checks, prices and stores a job: `202`, or `200` when it ended within `Prefer: wait=N`."""
    gateway, wait = incoming.gateway, incoming.wait
    submission = incoming.body.submission(
        default_model=gateway.catalog.default.id,
        idempotency_key=incoming.key,
        trace_id=request.scope["trace_id"],
        trace_sampled=request.scope[TRACE_SAMPLED],
    )
    submitted = await gateway.jobs.submit(incoming.caller, submission)
    release_body(request, incoming.body.input)
    job, position = submitted.job, submitted.position
    if wait:
        with suppress(StoreUnavailable):  # it is admitted; after an error the caller would submit it again
            job = await _waited(request, gateway, incoming.caller, job, wait)
            position = await gateway.jobs.position(job)
    headers = {
        "Location": f"{gateway.settings.base_url}/v1/jobs/{job.id}",
        **_preference(wait),
        **limit_headers(submitted.limits),
    }
    if submitted.repeated:
        headers["Idempotent-Replayed"] = "true"
    status = 200 if wait and job.status.ended else 202
    return await _render(gateway, job, position, status=status, headers=headers, repeated=submitted.repeated)


@router.post("/quotes", responses=refusals(404), summary="What would it cost?")
async def quote_job(caller: CurrentCaller, body: ReadJob, gateway: TheGateway) -> QuoteView:
    """The price of a submission and its expected wait, without submitting it."""
    quoted = await gateway.jobs.quote(caller, body.submission(default_model=gateway.catalog.default.id))
    return quote_view(quoted, upstream_paused=await gateway.operations.paused(caller.team))


@router.get("/jobs", response_model=JobPage, summary="List jobs, newest first")
async def list_jobs(
    request: Request,
    caller: CurrentCaller,
    gateway: TheGateway,
    job_filter: JobFilter,
    text: Text = None,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> Response:
    """A page of the caller's jobs, with `team:read` of the team's; one `metadata.NAME=VALUE` may be given.

    A page looks at a limited number of jobs: with a filter that few of them pass it may be short, or empty, and
    still have a `next_cursor`.
    """
    page = await gateway.listing.page(caller, with_words(job_filter, text), limit=limit, cursor=cursor)
    base_url = gateway.settings.base_url
    positions = await gateway.jobs.positions(page.jobs)
    paused = await gateway.operations.paused(caller.team)
    view: JobPage = {
        "data": [
            listed_job_view(
                job, page.names.users[job.user], base_url=base_url, queue_position=position, upstream_paused=paused
            )
            for job, position in zip(page.jobs, positions, strict=True)
        ],
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
        "scanned": page.scanned,
    }
    return JSONResponse(view, headers=link_to_next(request, gateway, page.next_cursor))


@router.get("/jobs/{job_id}", response_model=JobView, summary="Read a job")
@busy(read_poll)
async def read_job(request: Request, poll: ReadPoll) -> Response:
    """The job; with `Prefer: wait=N`, as it is when it ends or after N seconds."""
    gateway, job, position, wait = poll.gateway, poll.job, poll.position, poll.wait
    if wait:
        job = await _waited(request, gateway, poll.caller, job, wait)
        position = await gateway.jobs.position(job)
    return await _render(gateway, job, position, headers=_preference(wait))


@router.get("/jobs/{job_id}/history", summary="What a job went through")
async def read_history(job: OwnJob, gateway: TheGateway) -> HistoryView:
    """Its states with their times, its attempts at fal, and the movements of its money."""
    return history_view(await gateway.histories.of(job))


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    response_model=JobView,
    responses=refusals(409),
    summary="Cancel a job",
)
async def cancel_job(job: OwnJob, caller: CurrentCaller, gateway: TheGateway) -> Response:
    """Asks for the job's end: free while it is queued; once it runs, fal decides."""
    job = await gateway.jobs.cancel(caller, job)
    return await _render(gateway, job, await gateway.jobs.position(job), status=202)


@router.delete("/jobs/{job_id}", **NO_CONTENT, responses=refusals(409), summary="Erase an ended job's contents")
async def delete_job(job: OwnJob, caller: CurrentCaller, gateway: TheGateway) -> None:
    """Erases prompt, image and clip; the ledger is kept."""
    await gateway.jobs.delete(caller, job)


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: LIVE, 204: {"description": "Every event was sent"}},
    summary="Follow a job live",
)
async def job_events(job: WatchedJob, caller: Watcher, gateway: TheGateway, after: LastEventId) -> Response:
    """Server-sent events until the job ends or the key is revoked; resumes after `Last-Event-ID`.

    204 when that is the id of the last event or a later one: a browser's EventSource reconnects until then.
    """
    if after is not None and await gateway.watch.is_caught_up(job, after=after):
        return Response(status_code=204)
    following, write = gateway.watch.follow(job, after=after), partial(_on_the_wire, gateway)
    return await event_stream(gateway, caller, following, write, headers={})


async def _on_the_wire(gateway: Gateway, frame: Frame) -> bytes:
    """One frame of the stream: a ping is a comment, a reset precedes the present state."""
    if not isinstance(frame.event, Event):
        return format_sse_event(comment="ping")
    event = await _sent_event(gateway, frame.event)
    return format_sse_event(event="reset", data_str="{}") + event if frame.reset else event


async def _sent_event(gateway: Gateway, event: Event) -> bytes:
    """One event as bytes; that of a queued job has its present position, and why buying is paused."""
    base_url = gateway.settings.base_url
    if event.job.status is not Status.QUEUED:
        return SENT.encoded(event, base_url=base_url)
    position, paused = await gateway.jobs.position(event.job), await _paused(gateway, event.job)
    return sent_event(event, job_event(event, base_url=base_url, queue_position=position, upstream_paused=paused))


async def _waited(request: Request, gateway: Gateway, caller: Caller, job: Job, seconds: int) -> Job:
    """The job when it has ended, after so many seconds, or when the server stops."""
    if job.status.ended:
        return job
    waited = await long_poll(request, gateway, caller, gateway.watch.until_end(job, seconds=seconds))
    return waited or await gateway.watch.until_end(job, seconds=0)


def _preference(wait: int) -> dict[str, str]:
    return {"Preference-Applied": f"wait={wait}", "Vary": "Prefer"} if wait else {}


async def _paused(gateway: Gateway, job: Job) -> str | None:
    """Why buying is paused for the team of a queued job, or that the store is unavailable."""
    try:
        return await gateway.operations.paused(job.team) if job.status is Status.QUEUED else None
    except StoreUnavailable as error:
        return error.message


async def _render(
    gateway: Gateway,
    job: Job,
    position: int | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    repeated: bool = False,
) -> Response:
    view = job_view(
        job,
        base_url=gateway.settings.base_url,
        queue_position=position,
        upstream_paused=await _paused(gateway, job),
        repeated=repeated,
    )
    return Response(pydantic_core.to_json(view), status, headers=headers, media_type="application/json")
