"""Seeing and steering over HTTP: how everything stands, every team's jobs, pause, resume, resolve."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.api.admin_bodies import LONGEST_ID, PauseBody, ResolveBody, ResumeBody
from app.api.body import json_body
from app.api.deps import Administrator, TheGateway
from app.api.document_responses import refusals
from app.domain.jobs import Status
from app.views.operations import (
    BuyingView,
    OperatedJobPage,
    OperatedJobView,
    OverviewView,
    buying_view,
    operated_job_view,
    overview_view,
)


async def _existing_job(job_id: str, _: Administrator, gateway: TheGateway) -> str:
    """A job that is there, before the body is read."""
    return (await gateway.operations.job(job_id)).id


router = APIRouter(prefix="/v1", tags=["administration"])
ExistingJob = Annotated[str, Depends(_existing_job)]
ReadPause = Annotated[PauseBody, Depends(json_body(PauseBody))]
ReadResume = Annotated[ResumeBody, Depends(json_body(ResumeBody))]
ReadResolve = Annotated[ResolveBody, Depends(json_body(ResolveBody))]


@router.get("/admin/status", summary="How everything stands")
async def read_status(_: Administrator, gateway: TheGateway) -> OverviewView:
    """Slots, breaker, pauses, the teams in line and at fal, workers, what is held or set aside, newest alarms."""
    return overview_view(await gateway.operations.overview())


@router.get("/admin/jobs", responses=refusals(404), summary="Every team's jobs")
async def list_all_jobs(
    _: Administrator,
    gateway: TheGateway,
    status: Status | None = None,
    team: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> OperatedJobPage:
    """Newest first; whose they are and how they stand at fal, never what they show.

    `fal_tag` is how the tag of the last submission begins at fal.
    """
    page = await gateway.listing.page_of_all(status=status, team=team, limit=limit, cursor=cursor)
    held_since = await gateway.operations.held_since(page.jobs)
    return {
        "data": [operated_job_view(job, held_since.get(job.id)) for job in page.jobs],
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
    }


@router.post(
    "/admin/jobs/{job_id}/resolve",
    responses=refusals(409),
    summary="End a job that is held or set aside",
)
async def resolve_job(
    job_id: ExistingJob, actor: Administrator, gateway: TheGateway, body: ReadResolve
) -> OperatedJobView:
    """Adopt fal's request, submit again what fal certainly has not, or fail.

    A job whose step was set aside can be failed; in any other state it is 409 `not_held`.
    """
    job = await gateway.operations.resolve(
        actor, job_id, body.action, upstream_request_id=body.upstream_request_id, charged=body.charged
    )
    return operated_job_view(job)


@router.post("/admin/pause", responses=refusals(404), summary="Stop buying")
async def pause_buying(actor: Administrator, gateway: TheGateway, body: ReadPause) -> BuyingView:
    """For a team, or for everybody; jobs are accepted and wait, and their callers see the reason."""
    told = await gateway.operations.pause(actor, team=body.team, reason=body.reason)
    return buying_view(body.team, told)


@router.post("/admin/resume", responses=refusals(404), summary="Buy on")
async def resume_buying(actor: Administrator, gateway: TheGateway, body: ReadResume) -> BuyingView:
    """For a team, or for everybody; then the breaker closes too. `upstream_paused` says what still stops it."""
    told = await gateway.operations.resume(actor, team=body.team, reason=body.reason)
    return buying_view(body.team, told)
