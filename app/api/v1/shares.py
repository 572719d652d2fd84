"""Shares over HTTP: links for people without a key, and what they open."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from app.api.body import json_body
from app.api.deps import CurrentCaller, OwnJob, TheGateway, bad_keys_counted, credential
from app.api.document_responses import NO_CONTENT, refusals
from app.api.incoming import PAYER
from app.api.moments import Moment
from app.api.paging import PageCursor, PageSize
from app.api.query import require_known_parameters
from app.api.reads import Reads, reads
from app.api.strict_body import StrictBody
from app.domain.shares import LONGEST_SHARE_S, SHORTEST_SHARE_S, USUAL_SHARE_S, Share
from app.views.shares import SharedPage, ShareList, SharePage, ShareView, share_page, share_view, shared_page

router = APIRouter(prefix="/v1", tags=["shares"])


class ShareBody(StrictBody):
    """What `POST /v1/jobs/{job_id}/shares` takes."""

    expires_in: int = Field(USUAL_SHARE_S, ge=SHORTEST_SHARE_S, le=LONGEST_SHARE_S, description="Seconds from now")
    prompt: bool = Field(default=False, description="Show the prompt as well")


class WallBody(ShareBody):
    """What `POST /v1/shares` takes."""

    start: Moment = Field(alias="from", description="Clips that were asked for then or later")
    end: Moment = Field(alias="to", description="And before; it may be in the future")
    title: str = Field("", max_length=100, description="A heading for the page")


ReadShare = Annotated[ShareBody, Depends(json_body(ShareBody, optional=True))]
ReadWall = Annotated[WallBody, Depends(json_body(WallBody))]


@reads(Reads(key=True))
async def share_reader(request: Request, gateway: TheGateway) -> Share:
    """The share whose secret is sent as a key is; Unauthenticated when it has ended."""
    given = credential(request)
    with bad_keys_counted(request, gateway, given):
        share = await gateway.shares.open(given)
    require_known_parameters(request)
    request.scope[PAYER] = share.id
    return share


OpenShare = Annotated[Share, Depends(share_reader)]


@router.post("/jobs/{job_id}/shares", status_code=201, responses=refusals(409), summary="Share a clip")
async def share_job(job: OwnJob, caller: CurrentCaller, body: ReadShare, gateway: TheGateway) -> ShareView:
    """A link to a page with the clip, for people without a key; `url` is shown once."""
    return share_view(*await gateway.shares.share_job(caller, job, seconds=body.expires_in, prompt=body.prompt))


@router.get("/jobs/{job_id}/shares", summary="Who may see a clip")
async def list_job_shares(job: OwnJob, caller: CurrentCaller, gateway: TheGateway) -> ShareList:
    """The shares of a job that have not ended."""
    return {"data": [share_view(share) for share in await gateway.shares.of_job(caller, job)]}


@router.post("/shares", status_code=201, responses=refusals(409), summary="Share a wall of clips")
async def share_span(caller: CurrentCaller, body: ReadWall, gateway: TheGateway) -> ShareView:
    """A link to a page with all clips of the team from a period; for `team:admin`. `url` is shown once."""
    share, url = await gateway.shares.share_span(
        caller,
        from_ms=body.start,
        to_ms=body.end,
        seconds=body.expires_in,
        prompt=body.prompt,
        title=body.title.strip(),
    )
    return share_view(share, url)


@router.get("/shares", summary="Links that work")
async def list_shares(
    caller: CurrentCaller, gateway: TheGateway, limit: PageSize = 50, cursor: PageCursor = None
) -> SharePage:
    """The user's own shares that have not ended; with `team:read` all of the team, walls too. Last to end first."""
    return share_page(*await gateway.shares.listed(caller, limit=limit, cursor=cursor))


@router.get("/shares/current", responses=refusals(404), summary="What a share shows")
async def read_share(
    share: OpenShare, gateway: TheGateway, limit: PageSize = 50, cursor: PageCursor = None
) -> SharedPage:
    """The clips of the share whose secret is sent as a key. Addresses of kept clips end after an hour at most."""
    return shared_page(share, *await gateway.shares.clips(share, limit=limit, cursor=cursor))


@router.delete("/shares/{share_id}", **NO_CONTENT, responses=refusals(404), summary="End a share")
async def end_share(share_id: str, caller: CurrentCaller, gateway: TheGateway) -> None:
    """The link stops working at once: of one's own job, with `team:admin` any of the team."""
    await gateway.shares.remove(caller, share_id)
