"""Invitations for those who have the link: read it, and fetch the key."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from app.api.body import json_body
from app.api.cookies import require_own_page
from app.api.deps import TheGateway
from app.api.document_responses import refusals
from app.api.strict_body import StrictBody
from app.api.v1.session import LONGEST_KEY, guesses_counted, start_session
from app.domain.accounts import digest
from app.views.accounts import key_view
from app.views.sessions import AcceptedView, InvitedView, invited_view

router = APIRouter(prefix="/v1", tags=["account"])


class CodeBody(StrictBody):
    """What the routes about an invitation take."""

    code: str = Field(min_length=1, max_length=LONGEST_KEY, description="What stands behind /invite#")


ReadCode = Annotated[CodeBody, Depends(json_body(CodeBody))]


@router.post("/invitations/read", responses=refusals(410), summary="Read an invitation")
async def read_invitation(request: Request, gateway: TheGateway, body: ReadCode) -> InvitedView:
    """Who is invited to what; the invitation can still be accepted."""
    with guesses_counted(request, gateway):
        return invited_view(await gateway.invitations.read(body.code))


@router.post("/invitations/accept", status_code=201, responses=refusals(403, 410), summary="Accept an invitation")
async def accept_invitation(
    request: Request, response: Response, gateway: TheGateway, body: ReadCode
) -> AcceptedView:
    """A key of one's own, shown only in this reply, and a session with it, as after `POST /v1/session`."""
    require_own_page(request, base_url=gateway.settings.base_url)
    with guesses_counted(request, gateway):
        made = await gateway.invitations.accept(body.code)
    new = await gateway.sessions.begin(await gateway.accounts.holder(digest(made.key)), remembered=False)
    session = await start_session(request, response, gateway, new)
    return {"key": {**key_view(made.record), "key": made.key}, "session": session}
