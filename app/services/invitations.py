"""Invitations: a link under which a user fetches a key of their own, once."""

from dataclasses import dataclass

from app.domain.accounts import USER_SCOPES, Scope, Team, User, digest, has_form, id_of, key_of_user, new_key
from app.domain.errors import LinkEnded
from app.domain.sessions import DEFAULT_INVITATION_S, INVITATION_PREFIX, Invitation
from app.services.administration import NewKey
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.invitations import NOBODY, InvitationStore, require_open


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """A new invitation, and its address, which is shown once."""

    invitation: Invitation
    url: str


@dataclass(frozen=True, slots=True)
class Invited:
    """Who is invited to what."""

    invitation: Invitation
    team: Team
    user: User


@dataclass(frozen=True, slots=True)
class Invitations:
    """`actor` is the administrator, for the audit log; whoever has the code reads and accepts."""

    store: InvitationStore
    accounts: AccountStore
    clock: StoreClock
    base_url: str

    async def add(
        self,
        actor: str,
        *,
        user: str,
        scopes: frozenset[Scope] = USER_SCOPES,
        key_name: str = "",
        expires_in_s: int = DEFAULT_INVITATION_S,
    ) -> NewInvitation:
        """Invite a user; NotFound when there is none. The code is in the fragment, which no server sees."""
        holder = await self.accounts.require_user(user)
        now_ms = await self.clock.now_ms()
        code = new_key(INVITATION_PREFIX)
        invitation = Invitation(
            id=id_of("inv", code),
            team=holder.team,
            user=user,
            scopes=scopes,
            key_name=key_name,
            created_ms=now_ms,
            expires_ms=now_ms + expires_in_s * 1000,
        )
        await self.store.add(actor, invitation)
        return NewInvitation(invitation, f"{self.base_url}/invite#{code}")

    async def all(self, *, user: str | None = None) -> tuple[list[Invitation], int]:
        """Those of a user or of all, the newest first, ended ones for 30 days; and the time (ms)."""
        found = [one for one in await self.store.all() if user in {None, one.user}]
        return found, await self.clock.now_ms()

    async def revoke(self, actor: str, invitation_id: str) -> None:
        """Revoke it; harmless when repeated. LinkEnded when it was used: its key has to be revoked then."""
        invitation = await self.store.require(invitation_id)
        if invitation.revoked_ms is None:
            await self.store.revoke(actor, invitation, now_ms=await self.clock.now_ms())

    async def read(self, code: str) -> Invited:
        """Who is invited to what, without using it up; LinkEnded when it cannot be used any more."""
        found = await self.store.get(id_of("inv", code)) if has_form(code, INVITATION_PREFIX) else None
        invitation = require_open(found, await self.clock.now_ms())
        team, user = await self.accounts.names(invitation.team, invitation.user)
        if team is None or user is None or user.deleted_ms is not None or team.deleted_ms is not None:
            raise LinkEnded(NOBODY)
        return Invited(invitation, team, user)

    async def accept(self, code: str) -> NewKey:
        """The user's new key, shown this once; LinkEnded for all but the first."""
        invitation = (await self.read(code)).invitation
        key, record = key_of_user(
            team=invitation.team,
            user=invitation.user,
            name=invitation.key_name,
            scopes=invitation.scopes,
            created_ms=await self.clock.now_ms(),
        )
        await self.store.accept(invitation, digest(key), record)
        return NewKey(record, key)
