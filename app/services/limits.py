"""Limits: what administrators set, and raise for a while."""

from collections.abc import Sequence
from dataclasses import replace

from app.domain.accounts import NO_TEAM, NO_USER, Caller
from app.domain.errors import NotFound, Unprocessable, Violation
from app.domain.limits import Limit, LimitState, shown
from app.store import keys
from app.store.accounts import AccountStore
from app.store.audit import AuditStore, Require, is_there
from app.store.clock import StoreClock
from app.store.limits import LimitStore, limit_fields, set_limits

GATEWAY = keys.GATEWAY  # the owner of the limits that hold for everybody together


class Limits:
    """Sets and reads limits. An owner is GATEWAY, or the id of a team or a user."""

    def __init__(self, limits: LimitStore, accounts: AccountStore, audit: AuditStore, clock: StoreClock) -> None:
        self._limits = limits
        self._accounts = accounts
        self._audit = audit
        self._clock = clock

    async def of(self, owner: str) -> tuple[Limit, ...]:
        """What was set for the owner; raises that are over are left out."""
        await self._require_owner(owner)
        return (await self.of_each([owner]))[owner]

    async def of_each(self, owners: Sequence[str]) -> dict[str, tuple[Limit, ...]]:
        """The same for several owners that are known to be there, in two round trips."""
        now_ms = await self._clock.now_ms()
        found = await self._limits.of_each(owners)
        return {owner: tuple(_at(limit, now_ms) for limit in limits) for owner, limits in found.items()}

    async def standing(self, caller: Caller, *, micro: int, seconds: int) -> tuple[LimitState, ...]:
        """Every limit of the caller, `over` where a job of this price (micro-dollars) and length would meet it."""
        return await self._limits.standing(caller, micro=micro, seconds=seconds)

    async def replace(self, actor: str, owner: str, limits: Sequence[Limit]) -> None:
        """Set an owner's limits to these. Lower ones stop admissions; what runs goes on."""
        await self._audit.act(
            actor=actor,
            action="limits.replace",
            target=owner,
            details={"limits": [limit.details for limit in limits]},
            writes=[("DEL", keys.limits(owner)), *set_limits(owner, limits)],
            require=await self._require_owner(owner),
        )

    async def raise_for(self, actor: str, owner: str, limit: Limit, *, seconds: int) -> Limit:
        """Let `limit.amount` be in force for a while, in the place of a lower one that is set."""
        require = await self._require_owner(owner)
        known = {one.name: one for one in await self._limits.of(owner)}.get(limit.name)
        if known is None:
            raise _wrong(
                "/window", f"There is no limit on {limit.unit} with the window {limit.window} to be raised."
            )
        if limit.amount <= known.amount:
            raise _wrong("/amount", f"A raise must be above the limit of {shown(limit.unit, known.amount)}.")
        until = await self._clock.now_ms() + seconds * 1000
        raised = replace(known, raised_to=limit.amount, raised_until_ms=until)
        await self._audit.act(
            actor=actor,
            action="limits.raise",
            target=owner,
            details=raised.details,
            writes=[("HSET", keys.limits(owner), *limit_fields([raised])[2:])],
            require=require,
        )
        return raised

    async def _require_owner(self, owner: str) -> list[Require]:
        """That the owner is there, now and in the moment of the act; NotFound when it is not."""
        if owner == GATEWAY:
            return []
        if owner.startswith("team_"):
            team = await self._accounts.team(owner)
            if team is None or team.deleted_ms is not None:
                raise NotFound(NO_TEAM)
            return [is_there(keys.team(owner), NO_TEAM)]
        user = await self._accounts.user(owner)
        if user is None or user.deleted_ms is not None:
            raise NotFound(NO_USER)
        return [is_there(keys.user(user.team, owner), NO_USER)]


def _at(limit: Limit, now_ms: int) -> Limit:
    """The limit without a raise that is over."""
    raised = limit.raised_until_ms is not None and limit.raised_until_ms > now_ms
    return limit if raised else replace(limit, raised_to=None, raised_until_ms=None)


def _wrong(pointer: str, sentence: str) -> Unprocessable:
    return Unprocessable(sentence, violations=(Violation(pointer, "invalid", sentence),))
