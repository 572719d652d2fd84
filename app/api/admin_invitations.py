"""Invitations over HTTP, for the administrator: make, list and revoke them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from app.api.admin_bodies import Id, Name, Scopes
from app.api.body import json_body
from app.api.deps import Administrator, TheGateway
from app.api.document_responses import NO_CONTENT, refusals
from app.api.strict_body import LONGEST_ID, StrictBody
from app.domain.accounts import USER_SCOPES
from app.domain.sessions import DEFAULT_INVITATION_S, MAX_INVITATION_S, MIN_INVITATION_S
from app.views.sessions import InvitationList, NewInvitationView, invitation_view

router = APIRouter(prefix="/v1", tags=["administration"])


class InvitationBody(StrictBody):
    """What `POST /v1/admin/invitations` takes. `scopes` and `key_name` are those of the key that it makes."""

    user: Id
    scopes: Scopes | None = None
    key_name: Name | None = None
    expires_in: int = Field(
        DEFAULT_INVITATION_S, ge=MIN_INVITATION_S, le=MAX_INVITATION_S, description="Seconds from now"
    )


ReadInvitation = Annotated[InvitationBody, Depends(json_body(InvitationBody))]


@router.post("/admin/invitations", status_code=201, responses=refusals(404), summary="Invite a user")
async def invite(actor: Administrator, gateway: TheGateway, body: ReadInvitation) -> NewInvitationView:
    """An address under which the user fetches a key of their own, once. It is shown only in this reply."""
    made = await gateway.invitations.add(
        actor,
        user=body.user,
        scopes=USER_SCOPES if body.scopes is None else frozenset(body.scopes),
        key_name=body.key_name or "",
        expires_in_s=body.expires_in,
    )
    return {**invitation_view(made.invitation, made.invitation.created_ms), "url": made.url}


@router.get("/admin/invitations", summary="List invitations")
async def list_invitations(
    _: Administrator,
    gateway: TheGateway,
    user: Annotated[str | None, Query(max_length=LONGEST_ID)] = None,
) -> InvitationList:
    """Those of a user, or all, the newest first; ended ones for 30 days."""
    found, now_ms = await gateway.invitations.all(user=user)
    return {"data": [invitation_view(one, now_ms) for one in found]}


@router.delete(
    "/admin/invitations/{invitation_id}", **NO_CONTENT, responses=refusals(410), summary="Revoke an invitation"
)
async def revoke_invitation(invitation_id: str, actor: Administrator, gateway: TheGateway) -> None:
    """Its address opens nothing any more; 410 `link_ended` when it was used: revoke its key then."""
    await gateway.invitations.revoke(actor, invitation_id)
