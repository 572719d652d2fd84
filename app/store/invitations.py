"""Invitations in the store. Its code is not kept: the id is the beginning of the code's SHA-256."""

from collections.abc import Sequence

from app.domain.accounts import Key
from app.domain.errors import FilmgateError, LinkEnded, NotFound, UnknownLink
from app.domain.sessions import INVITATION_KEPT_MS, Invitation
from app.domain.times import iso
from app.store import keys
from app.store.accounts import put_record, read_record
from app.store.administration import put_key
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.commands import Command, Require, team_exists, user_exists
from app.store.connection import store_errors
from app.store.reads import read_hashes

NO_INVITATION = "There is no invitation with this id."
GONE = "This invitation opens nothing: it is mistyped, or ended long ago. Ask for a new one."
REVOKED = "This invitation was revoked. Ask for a new one."
USED = "This invitation was used already, and its key was shown then. If it was not you, tell your administrator."
EXPIRED = "This invitation has expired. Ask for a new one."
NOBODY = "Whoever this invitation was for was deleted. Ask for a new one."


class InvitationStore:
    """Reads invitations; writes them as administrative acts."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def add(self, actor: str, invitation: Invitation) -> None:
        """Add an invitation; NotFound when its user was deleted meanwhile."""
        name, forgotten_ms = keys.invitation(invitation.id), invitation.expires_ms + INVITATION_KEPT_MS
        details = {
            "user": invitation.user,
            "scopes": sorted(invitation.scopes),
            "key_name": invitation.key_name,
            "expires": iso(invitation.expires_ms),
        }
        writes: list[Command] = [
            put_record(name, invitation),
            ("PEXPIREAT", name, forgotten_ms),
            ("ZREMRANGEBYSCORE", keys.INVITATIONS, "-inf", invitation.created_ms),
            ("ZADD", keys.INVITATIONS, forgotten_ms, invitation.id),
        ]
        require = [user_exists(invitation.team, invitation.user), team_exists(invitation.team)]
        await self._audit.act(actor, "invitation.add", invitation.id, details, writes=writes, require=require)

    async def revoke(self, actor: str, invitation: Invitation, *, now_ms: int) -> None:
        """Revoke an invitation that was not used. LinkEnded, so that nobody believes to have prevented its key."""
        name = keys.invitation(invitation.id)
        sentence = "The invitation was used already; revoke the key that it made."
        require = [Require(("no_field", name, "accepted_ms"), LinkEnded(sentence)), _is_there(invitation)]
        writes: list[Command] = [("HSET", name, "revoked_ms", now_ms)]
        await self._audit.act(actor, "invitation.revoke", invitation.id, {}, writes=writes, require=require)

    async def accept(self, invitation: Invitation, key_digest: str, record: Key) -> None:
        """Add the key and use the invitation up, both or neither; LinkEnded for all but the first."""
        name = keys.invitation(invitation.id)
        writes: list[Command] = [
            *put_key(key_digest, record),
            ("HSET", name, "accepted_ms", record.created_ms, "key", record.id),
        ]
        details = {"user": record.user, "key": record.id, "name": record.name, "scopes": sorted(record.scopes)}
        require = [
            _is_there(invitation),
            Require(("no_field", name, "revoked_ms"), LinkEnded(REVOKED)),
            Require(("no_field", name, "accepted_ms"), LinkEnded(USED)),
            Require(("before", invitation.expires_ms), LinkEnded(EXPIRED)),
            _or(user_exists(record.team, record.user), LinkEnded(NOBODY)),
            _or(team_exists(record.team), LinkEnded(NOBODY)),
        ]
        actor = record.user  # nobody else has the link
        await self._audit.act(actor, "invitation.accept", invitation.id, details, writes=writes, require=require)

    async def get(self, invitation_id: str) -> Invitation | None:
        """The invitation, an ended one too; None when there is none."""
        (row,) = await read_hashes(self._redis, [keys.invitation(invitation_id)])
        return read_record(Invitation, row) if row else None

    async def require(self, invitation_id: str) -> Invitation:
        """The invitation; NotFound."""
        found = await self.get(invitation_id)
        if found is None:
            raise NotFound(NO_INVITATION)
        return found

    async def all(self) -> list[Invitation]:
        """Every invitation that is not forgotten, the newest first."""
        with store_errors():
            ids: Sequence[str] = await self._redis.zrange(keys.INVITATIONS, 0, -1)
        rows = await read_hashes(self._redis, map(keys.invitation, ids))
        found = [read_record(Invitation, row) for row in rows if row]
        return sorted(found, key=lambda one: (one.created_ms, one.id), reverse=True)


def require_open(invitation: Invitation | None, now_ms: int) -> Invitation:
    """The invitation; LinkEnded with the reason when it cannot be used, UnknownLink when there is none."""
    if invitation is None:
        raise UnknownLink(GONE)
    ended = {"revoked": REVOKED, "accepted": USED, "expired": EXPIRED}.get(invitation.status(now_ms))
    if ended is not None:
        raise LinkEnded(ended)
    return invitation


def _is_there(invitation: Invitation) -> Require:
    return Require(("same", keys.invitation(invitation.id), "id", invitation.id), LinkEnded(GONE))


def _or(required: Require, error: FilmgateError) -> Require:
    return Require(required.condition, error)
