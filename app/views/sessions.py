"""Sessions and invitations."""

from typing import Literal

from typing_extensions import TypedDict

from app.domain.accounts import Key, Scope
from app.domain.sessions import Invitation, InvitationStatus, Session
from app.domain.times import iso
from app.services.invitations import Invited
from app.services.sessions import SignedIn
from app.views.accounts import NamedView, NewKeyView
from app.views.fields import Time


class SessionKeyView(TypedDict):
    """The key with which somebody signed in."""

    id: str
    name: str
    shown_as: str
    expires_at: Time | None


class SessionView(TypedDict):
    """Who is signed in. `key`, `user` and `team` are null, and `scopes` empty, for the administrator.

    `csrf` is for the header `X-CSRF-Token`. `expires_at` is when the session ends if nobody uses it.
    """

    role: Literal["user", "administrator"]
    csrf: str
    expires_at: Time
    remembered: bool
    key: SessionKeyView | None
    user: NamedView | None
    team: NamedView | None
    scopes: list[Scope]


class InvitedView(TypedDict):
    """Who is invited to what: the key would be `user`'s, with this name and these scopes."""

    user: NamedView
    team: NamedView
    key_name: str
    scopes: list[Scope]
    expires_at: Time


class AcceptedView(TypedDict):
    """The key of an accepted invitation, which is shown only once, and the session that began."""

    key: NewKeyView
    session: SessionView


class InvitationView(TypedDict):
    """An invitation; `key` is the id of the key that it made."""

    id: str
    team: str
    user: str
    key_name: str
    scopes: list[Scope]
    status: InvitationStatus
    created_at: Time
    expires_at: Time
    accepted_at: Time | None
    revoked_at: Time | None
    key: str | None


class NewInvitationView(InvitationView):
    """A new invitation; `url` is shown only once."""

    url: str


class InvitationList(TypedDict):
    """Invitations, the newest first."""

    data: list[InvitationView]


def session_view(session: Session, who: SignedIn) -> SessionView:
    """A session."""
    key, user, team, caller = who.key, who.user, who.team, session.caller
    return {
        "role": "administrator" if caller is None else "user",
        "csrf": session.csrf,
        "expires_at": iso(session.expires_ms),
        "remembered": session.remembered,
        "key": None if key is None else _key_view(key),
        "user": None if user is None else {"id": user.id, "name": user.name},
        "team": None if team is None else {"id": team.id, "name": team.name},
        "scopes": [] if caller is None else sorted(caller.scopes),
    }


def _key_view(key: Key) -> SessionKeyView:
    return {"id": key.id, "name": key.name, "shown_as": key.shown_as, "expires_at": iso(key.expires_ms)}


def invited_view(invited: Invited) -> InvitedView:
    """An invitation, for whom it is for."""
    return {
        "user": {"id": invited.user.id, "name": invited.user.name},
        "team": {"id": invited.team.id, "name": invited.team.name},
        "key_name": invited.invitation.key_name,
        "scopes": sorted(invited.invitation.scopes),
        "expires_at": iso(invited.invitation.expires_ms),
    }


def invitation_view(invitation: Invitation, now_ms: int) -> InvitationView:
    """An invitation, for the administrator."""
    return {
        "id": invitation.id,
        "team": invitation.team,
        "user": invitation.user,
        "key_name": invitation.key_name,
        "scopes": sorted(invitation.scopes),
        "status": invitation.status(now_ms),
        "created_at": iso(invitation.created_ms),
        "expires_at": iso(invitation.expires_ms),
        "accepted_at": iso(invitation.accepted_ms),
        "revoked_at": iso(invitation.revoked_ms),
        "key": invitation.key,
    }
