"""Finished clips over HTTP: with a key, or at a signed address that needs none."""

from collections.abc import AsyncGenerator
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import Field, WithJsonSchema

from app.api.body import json_body
from app.api.deps import OwnJob, TheGateway, WatchedJob
from app.api.document_responses import CLIP, LOCATION, refusals
from app.api.handover import HANDOVER, ServedReply
from app.api.problems import problem
from app.api.ranges import http_date, is_unchanged, part_of
from app.api.reply_headers import HEAD
from app.api.strict_body import StrictBody
from app.domain.clips import FileName, file_title
from app.domain.errors import BeyondEnd, StorageAway
from app.domain.jobs import Job
from app.gateway import Gateway
from app.services.clips import file_of
from app.views.clips import LinkView, link_view

# A clip never changes; for five minutes it need not be asked for again, and after an erasure no longer.
CACHE = "private, max-age=300"
SHORTEST_S, USUAL_S, LONGEST_S = 60, 86_400, 30 * 86_400
router = APIRouter(prefix="/v1", tags=["jobs"])
log = structlog.get_logger()


class LinkBody(StrictBody):
    """What `POST /v1/jobs/{job_id}/video/link` takes."""

    expires_in: int = Field(USUAL_S, ge=SHORTEST_S, le=LONGEST_S, description="Seconds from now")


ReadLink = Annotated[LinkBody, Depends(json_body(LinkBody))]


@router.get(
    "/jobs/{job_id}/video",
    response_class=Response,
    responses={**CLIP, 307: {"description": "It is elsewhere", "headers": LOCATION}, **refusals(409, 416)},
    summary="The clip",
)
async def job_video(request: Request, job: WatchedJob, gateway: TheGateway) -> Response:
    """Our copy of the clip, in parts too (`Range`), or a redirect to fal's: this URL is permanent."""
    return await _clip(request, gateway, job, "video")


@router.post(
    "/jobs/{job_id}/video/link", status_code=201, responses=refusals(409), summary="An address without a key"
)
async def make_link(job: OwnJob, body: ReadLink, gateway: TheGateway) -> LinkView:
    """A signed address of the clip for people without a key, for as long as is asked for."""
    return link_view(await gateway.clips.link(job, "video", seconds=body.expires_in))


@router.get(
    "/clips/{team}/{job_id}/{title}",
    response_class=Response,
    responses={
        **CLIP,
        307: {"description": "It is elsewhere", "headers": LOCATION},
        **refusals(403, 404, 409, 416),
    },
    summary="A file of a job, without a key",
)
async def read_clip(
    request: Request,
    team: Annotated[str, Path(max_length=64)],
    job_id: Annotated[str, Path(max_length=64)],
    title: Annotated[str, Path(max_length=32)],
    expires: Annotated[
        str,
        WithJsonSchema({"type": "integer", "minimum": 0}),
        Query(max_length=12, description="When it ends, in Unix seconds"),
    ],
    signature: Annotated[str, Query(min_length=22, max_length=22, description="Of the job")],
    gateway: TheGateway,
) -> Response:
    """A file at a signed address, which is in a job's output: whoever has it may read the file until it ends."""
    job, name = await gateway.clips.by_address(team, job_id, title, until_s=expires, signature=signature)
    return await _clip(request, gateway, job, name)


async def _clip(request: Request, gateway: Gateway, job: Job, name: FileName) -> Response:
    """A redirect, or the bytes that were asked for."""
    url = await gateway.clips.elsewhere(job, name)
    kept = url or await gateway.clips.facts(job, name)
    if isinstance(kept, str):
        return RedirectResponse(kept, 307)
    file, etag, modified = file_of(job, name), kept.etag, http_date(kept.modified_ms)
    headers = {
        "ETag": etag,
        "Last-Modified": modified,
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHE,
        "Content-Disposition": f'inline; filename="{job.id}.{file_title(name, file).rpartition(".")[2]}"',
    }
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers=headers)
    try:
        part = part_of(request.headers, kept.size, etag=etag, modified=modified)
    except IndexError:
        beyond = problem(
            BeyondEnd(f"The clip has {kept.size} bytes."), scope=request.scope, base_url=gateway.settings.base_url
        )
        beyond.headers["Content-Range"] = f"bytes */{kept.size}"
        return beyond
    start, length = part or (0, kept.size)
    headers["Content-Length"] = str(length)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{kept.size}"
    status = 200 if part is None else 206
    if HEAD in request.scope:
        return Response(status_code=status, headers=headers, media_type=kept.content_type)
    chunks = await gateway.clips.open(job, name, start=start, length=length)
    if isinstance(chunks, str):
        return RedirectResponse(chunks, 307)
    sent = _sent(chunks, job, length, request.scope.get(HANDOVER))
    return StreamingResponse(sent, status, headers=headers, media_type=kept.content_type)


async def _sent(
    chunks: AsyncGenerator[bytes, None], job: Job, length: int, reply: ServedReply | None
) -> AsyncGenerator[bytes, None]:
    """The chunks; a storage that fails, or ends too soon, cuts the connection: the reader asks for the rest."""
    reason, left = "short", length
    try:
        async for chunk in chunks:
            left -= len(chunk)
            yield chunk
    except StorageAway as error:
        reason = error.reason
    if left:
        log.warning("clip.cut", job=job.id, reason=reason, left=left)
        if reply is not None:
            reply.cut()
