"""Administration of teams, users and keys. Every change is a line in the audit log."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from app.domain.accounts import (
    AS_GATEWAY,
    UNLIMITED,
    USER_SCOPES,
    Key,
    Reposts,
    Scope,
    Team,
    User,
    digest,
    key_of_user,
    mask_key,
    new_key,
)
from app.domain.errors import Code, Conflict, NotFound
from app.domain.ids import new_id
from app.domain.limits import Limit
from app.registry.catalog import Catalog
from app.store.accounts import AccountStore
from app.store.administration import AdministrationStore, changed_meanwhile
from app.store.clock import StoreClock
from app.store.zones import CalendarChanged
from app.webhooks.signing import new_secret

MAX_TRIES = 5  # a window may end while a change of the time zone is prepared
SYSTEM = "filmgate"  # the actor of changes that the program makes by itself


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A user with a key, which is shown once."""

    team: Team
    user: User
    key: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key's record, and the key itself, which is shown once."""

    record: Key
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """Reads and changes teams, users and keys. `actor` is the administrator, for the audit log."""

    catalog: Catalog
    administration: AdministrationStore
    accounts: AccountStore
    clock: StoreClock

    # --- teams -------------------------------------------------------------------------------------------------

    async def teams(self) -> list[Team]:
        """Every team, the oldest first."""
        return await self.accounts.teams()

    async def team(self, team_id: str) -> Team:
        """The team; NotFound when there is none, or it was deleted."""
        return await self.accounts.require_team(team_id)

    async def add_team(
        self,
        actor: str,
        *,
        name: str,
        weight: int = 1,
        time_zone: str = "UTC",
        reposts: Reposts = Reposts.ANSWERED,
        retention_days: int | None = None,
        storage_bytes: int | None = None,
        limits: Sequence[Limit] = (),
    ) -> Team:
        """Add a team with its limits."""
        team = Team(
            new_id("team"),
            name,
            new_secret(),
            weight,
            time_zone,
            created_ms=await self.clock.now_ms(),
            reposts=reposts,
            retention_days=AS_GATEWAY if retention_days is None else retention_days,
            storage_bytes=UNLIMITED if storage_bytes is None else storage_bytes,
        )
        await self.administration.add_team(actor, team, limits)
        return team

    async def change_team(
        self,
        actor: str,
        team_id: str,
        *,
        name: str | None = None,
        weight: int | None = None,
        time_zone: str | None = None,
        reposts: Reposts | None = None,
        retention_days: int | None = None,
        storage_bytes: int | None = None,
    ) -> Team:
        """Change the given members. Usage in the present calendar windows is carried over to a new time zone's.

        Another retention applies to what ends, and is kept, from now on.
        """
        given = {"name": name, "weight": weight, "time_zone": time_zone, "reposts": reposts}
        given_numbers = {"retention_days": retention_days, "storage_bytes": storage_bytes}
        changes: dict[str, Any] = {
            field: value for field, value in {**given, **given_numbers}.items() if value is not None
        }
        for _ in range(MAX_TRIES):
            team = await self.team(team_id)
            with suppress(CalendarChanged):
                await self.administration.change_team(actor, team, changes)
                return replace(team, **changes)
        raise changed_meanwhile()

    async def remove_team(self, actor: str, team_id: str) -> None:
        """Delete a team and its users, and revoke their keys; jobs, ledger and audit lines stay.

        Conflict while one of its jobs is alive, because its money is not settled.
        """
        await self.team(team_id)
        await self.administration.remove_team(actor, team_id, now_ms=await self.clock.now_ms())

    # --- users -------------------------------------------------------------------------------------------------

    async def users(self, team_id: str | None = None) -> list[User]:
        """The users of a team, or of all teams."""
        teams = await self.teams() if team_id is None else [await self.team(team_id)]
        return [user for team in teams for user in await self.accounts.users(team.id)]

    async def user(self, user_id: str) -> User:
        """The user; NotFound when there is none, or it was deleted."""
        return await self.accounts.require_user(user_id)

    async def add_user(self, actor: str, *, team: str, name: str, limits: Sequence[Limit] = ()) -> User:
        """Add a user to the team, with limits of their own."""
        user = User(new_id("user"), team, name, await self.clock.now_ms())
        await self.administration.add_user(actor, user, limits)
        return user

    async def change_user(self, actor: str, user_id: str, *, name: str) -> User:
        """Rename a user."""
        user = await self.user(user_id)
        await self.administration.rename_user(actor, user, name)
        return replace(user, name=name)

    async def remove_user(self, actor: str, user_id: str) -> None:
        """Delete a user and revoke their keys; Conflict while one of their jobs is alive."""
        user = await self.user(user_id)
        await self.administration.remove_user(actor, user, now_ms=await self.clock.now_ms())

    # --- keys --------------------------------------------------------------------------------------------------

    async def keys(self, *, team: str | None = None, user: str | None = None) -> list[tuple[Key, int | None]]:
        """The keys of a user, of a team or of all, revoked ones too, each with its last use (ms)."""
        users = [await self.user(user)] if user is not None else await self.users(team)
        found = await self.accounts.keys_of([one.id for one in users])
        keys = [record for _, record in found if team in {None, record.team}]
        used = await self.accounts.last_used([record.id for record in keys])
        return [(record, used.get(record.id)) for record in keys]

    async def key(self, key_id: str) -> tuple[Key, int | None]:
        """A key and its last use (ms); NotFound."""
        _, record = await self._key(key_id)
        return record, (await self.accounts.last_used([key_id])).get(key_id)

    async def add_key(
        self,
        actor: str,
        *,
        user: str,
        name: str = "",
        scopes: frozenset[Scope] = USER_SCOPES,
        models: Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
        expires_in_s: int | None = None,
        reposts: Reposts | None = None,
    ) -> NewKey:
        """Add a key of the user, restricted to `models` and to web pages of `origins` if given.

        Without `reposts`, its team's rule applies.
        """
        holder = await self.user(user)
        for model in models or ():
            self.catalog.get(model)
        now_ms = await self.clock.now_ms()
        key, plain = key_of_user(team=holder.team, user=user, name=name, scopes=scopes, created_ms=now_ms)
        record = replace(
            plain,
            models=None if models is None else tuple(models),
            origins=None if origins is None else tuple(origins),
            expires_ms=None if expires_in_s is None else now_ms + expires_in_s * 1000,
            reposts=reposts,
        )
        await self.administration.add_key(actor, digest(key), record)
        return NewKey(record, key)

    async def rotate_key(self, actor: str, key_id: str, *, overlap_s: int) -> NewKey:
        """Add a key with the same rights; the old one, if valid, ends in `overlap_s` seconds. Conflict."""
        old_digest, old = await self._key(key_id)
        now_ms = await self.clock.now_ms()
        if old.has_ended(now_ms):
            raise Conflict("The key opens nothing any more; make a new one.", code=Code.KEY_ENDED)
        if old.replaced_by is not None:
            raise Conflict(f"The key was rotated already; {old.replaced_by} took its place.", code=Code.KEY_ENDED)
        key = new_key()
        record = replace(old, id=new_id("key"), shown_as=mask_key(key), created_ms=now_ms)
        until = min(now_ms + overlap_s * 1000, old.expires_ms or 2**53)
        new = (digest(key), record)
        await self.administration.rotate_key(actor, (old_digest, old), new, old_ends_ms=until)
        return NewKey(record, key)

    async def revoke_key(self, actor: str, key_id: str) -> None:
        """Revoke a key and its browser tokens, everywhere within a second; harmless when repeated."""
        key_digest, record = await self._key(key_id)
        if record.revoked_ms is None:
            await self.administration.revoke_key(actor, key_digest, key_id, now_ms=await self.clock.now_ms())

    # --- the first start ---------------------------------------------------------------------------------------

    async def add_account(self, user_name: str) -> NewAccount:
        """Add a user with a key to the oldest team, which is made with its first user."""
        teams = await self.teams()
        team = teams[0] if teams else await self.add_team(SYSTEM, name="default")
        user = await self.add_user(SYSTEM, team=team.id, name=user_name)
        return NewAccount(team, user, (await self.add_key(SYSTEM, user=user.id)).key)

    async def _key(self, key_id: str) -> tuple[str, Key]:
        found = await self.accounts.key(key_id)
        if found is None:
            raise NotFound("There is no key with this id.")
        return found
