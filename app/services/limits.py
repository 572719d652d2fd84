"""Limits: set by administrators, and raised for a while."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.accounts import Caller, Team, User
from app.domain.cursors import read_cursor, write_cursor
from app.domain.errors import invalid_at
from app.domain.limits import GATEWAY, Limit, LimitState, Owner, format_amount
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.limits import LimitStore


@dataclass(frozen=True, slots=True)
class UserLimits:
    """A user, and the state of each of their limits."""

    user: User
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Sets and reads limits. An owner is GATEWAY, or the id of a team or a user."""

    limits: LimitStore
    accounts: AccountStore
    clock: StoreClock

    async def of(self, owner: str) -> tuple[Limit, ...]:
        """The owner's limits, without raises that are over; NotFound."""
        await self._team_of(owner)
        return (await self.of_each([owner]))[owner]

    async def of_users(
        self, team: Team, *, text: str | None = None, limit: int, cursor: str | None
    ) -> tuple[list[UserLimits], str | None]:
        """Up to `limit` users of a team, the oldest first, with the states of their limits; the next cursor.

        With `text`, only those whom it names (`User.answers_to`).
        """
        after = (-1, "") if cursor is None else read_cursor(cursor, kind="user")
        users = [one for one in await self.accounts.users(team.id) if (one.created_ms, one.id) > after]
        if text is not None:
            users = [one for one in users if one.answers_to(text)]
        shown = users[:limit]
        states = await self.limits.states_of_users(team.id, [one.id for one in shown], zone=team.time_zone)
        more = write_cursor((shown[-1].created_ms, shown[-1].id)) if len(users) > limit else None
        return [UserLimits(one, states[one.id]) for one in shown], more

    async def of_each(self, owners: Sequence[str]) -> dict[str, tuple[Limit, ...]]:
        """The same for several owners that exist, in two round trips."""
        now_ms = await self.clock.now_ms()
        found = await self.limits.of_each(owners)
        return {owner: tuple(_at(limit, now_ms) for limit in limits) for owner, limits in found.items()}

    async def present(self, owner: str) -> list[tuple[Limit, LimitState]]:
        """The owner's limits in the order of their names, each with what is used, held and left of it; NotFound."""
        team_id = await self._team_of(owner)
        user = "" if owner in {GATEWAY, team_id} else owner
        asked = Caller(team=team_id or "", user=user, key="", scopes=frozenset())  # `states` corrects its time zone
        kind = Owner.GATEWAY if team_id is None else Owner.USER if user else Owner.TEAM
        states = {(one.unit, one.window): one for one in await self.limits.states(asked) if one.owner is kind}
        set_now = (await self.of_each([owner]))[owner]
        return [(one, states[one.unit, one.window]) for one in set_now if (one.unit, one.window) in states]

    async def replace(self, actor: str, owner: str, limits: Sequence[Limit]) -> None:
        """Replace an owner's limits. Lower ones affect admissions only, not jobs that were admitted."""
        await self.limits.replace(actor, owner, await self._team_of(owner), limits)

    async def raise_for(self, actor: str, owner: str, limit: Limit, *, seconds: int) -> Limit:
        """Raise an owner's limit to `limit.amount` for so long; Unprocessable unless a lower one is set."""
        team = await self._team_of(owner)
        known = {one.name: one for one in await self.limits.of(owner)}.get(limit.name)
        if known is None:
            raise invalid_at(
                "/window",
                "invalid",
                f"There is no limit on {limit.unit} with the window {limit.window} to be raised.",
            )
        if limit.amount <= known.amount:
            raise invalid_at(
                "/amount",
                "invalid",
                f"A raise must be above the limit of {format_amount(limit.unit, known.amount)}.",
            )
        until = await self.clock.now_ms() + seconds * 1000
        raised = replace(known, raised_to=limit.amount, raised_until_ms=until)
        await self.limits.raise_limit(actor, owner, team, raised)
        return raised

    async def _team_of(self, owner: str) -> str | None:
        """The team that the owner is or belongs to, None for the gateway; NotFound when there is no such owner."""
        if owner == GATEWAY:
            return None
        if owner.startswith("team_"):
            return (await self.accounts.require_team(owner)).id
        return (await self.accounts.require_user(owner)).team


def _at(limit: Limit, now_ms: int) -> Limit:
    """The limit without a raise that is over."""
    raised = limit.raised_until_ms is not None and limit.raised_until_ms > now_ms
    return limit if raised else replace(limit, raised_to=None, raised_until_ms=None)
