"""Operation over HTTP: the status of the whole, every team's jobs, pause, resume, cancel, resolve."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from app.api.admin_bodies import PauseBody, ResolveBody, ResumeBody
from app.api.body import json_body
from app.api.deps import Administrator, TheGateway
from app.api.document_responses import refusals
from app.api.job_filters import JobFilter
from app.api.paging import PageCursor, PageSize
from app.api.strict_body import LONGEST_ID
from app.views.accounts import StorageReport, storage_report
from app.views.history import OperatedJobDetails, operated_job_details
from app.views.operations import (
    MAX_DELIVERIES,
    AlertTestView,
    BuyingView,
    OperatedJobPage,
    OperatedJobView,
    OverviewView,
    alert_test_view,
    buying_view,
    operated_job_page,
    operated_job_view,
    overview_view,
)


async def _existing_job(job_id: str, _: Administrator, gateway: TheGateway) -> str:
    """The job's id; NotFound before the body is read."""
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


@router.get("/admin/storage", summary="What teams keep in the storage")
async def read_storage(_: Administrator, gateway: TheGateway) -> StorageReport:
    """The bytes of each team's clips and uploads together, its limit, and how long it keeps them."""
    teams = await gateway.administration.teams()
    uses = await gateway.accounts.storage_of([team.id for team in teams])
    return storage_report(teams, uses, retention_days=gateway.settings.retention_days)


@router.get("/admin/jobs", responses=refusals(404), summary="Every team's jobs")
async def list_all_jobs(
    _: Administrator,
    gateway: TheGateway,
    job_filter: JobFilter,
    team: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
    limit: PageSize = 50,
    cursor: PageCursor = None,
) -> OperatedJobPage:
    """Newest first: whose they are and their state at fal, without their contents. Filters as for `/v1/jobs`.

    `fal_tag` is the beginning of the last submission's tag at fal.
    """
    page = await gateway.listing.page_of_all(job_filter, team=team, limit=limit, cursor=cursor)
    return operated_job_page(page, await gateway.operations.held_since(page.jobs))


@router.get("/admin/jobs/{job_id}", responses=refusals(404), summary="Read any team's job")
async def read_any_job(job_id: str, _: Administrator, gateway: TheGateway) -> OperatedJobDetails:
    """A job with its history, fal's error and log lines, and its webhooks; without its prompt and its clip.

    Look for `fal_tag` and `upstream_request_id` at fal.
    """
    job = await gateway.operations.job(job_id)
    held_since = await gateway.operations.held_since([job])
    deliveries = await gateway.delivery_log.newest_of(job, limit=MAX_DELIVERIES)
    return operated_job_details(
        await gateway.histories.of(job), held_ms=held_since.get(job.id), deliveries=deliveries
    )


@router.post(
    "/admin/jobs/{job_id}/cancel", status_code=202, responses=refusals(409), summary="Cancel any team's job"
)
async def cancel_any_job(job_id: str, actor: Administrator, gateway: TheGateway) -> OperatedJobView:
    """Asks for the job's end: free while it is queued; once it runs, fal decides. 409 `already_ended` after that.

    A held job stays held, and the request counts once its outcome is known; `resolve` ends it.
    """
    job = await gateway.operations.cancel(actor, job_id)
    held_since = await gateway.operations.held_since([job])
    return operated_job_view(job, held_since.get(job.id))


@router.post("/admin/jobs/{job_id}/resolve", responses=refusals(409), summary="End a job that is held or set aside")
async def resolve_job(
    job_id: ExistingJob, actor: Administrator, gateway: TheGateway, body: ReadResolve
) -> OperatedJobView:
    """Adopts fal's request, submits again what fal certainly does not have, or fails the job.

    A job whose step was set aside can be failed; in any other state it is 409 `not_held`.
    """
    job = await gateway.operations.resolve(
        actor, job_id, body.action, upstream_request_id=body.upstream_request_id, charged=body.charged
    )
    return operated_job_view(job)


@router.post("/admin/alerts/test", responses=refusals(409), summary="Try the receiver of alarms")
async def try_alerts(_: Administrator, gateway: TheGateway) -> AlertTestView:
    """Sends one message of the type `alarm.test` to `FILMGATE_ALERT_WEBHOOK` and says how it was answered.

    409 when no receiver is set.
    """
    return alert_test_view(await gateway.alerts.test())


@router.post("/admin/pause", responses=refusals(404), summary="Stop buying")
async def pause_buying(actor: Administrator, gateway: TheGateway, body: ReadPause) -> BuyingView:
    """For one team or all; jobs are still accepted and wait, and their callers see the reason."""
    paused = await gateway.operations.pause(actor, team=body.team, reason=body.reason)
    return buying_view(body.team, paused)


@router.post("/admin/resume", responses=refusals(404), summary="Buy on")
async def resume_buying(actor: Administrator, gateway: TheGateway, body: ReadResume) -> BuyingView:
    """For one team, or for all, which closes the breaker too. `upstream_paused` says what still stops buying."""
    paused = await gateway.operations.resume(actor, team=body.team, reason=body.reason)
    return buying_view(body.team, paused)
