"""Limits in the store: those that were set, and their states for one caller."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypedDict, TypeVar, cast

from app.domain.accounts import Caller
from app.domain.limits import Limit, LimitState, Owner, Unit, Window, periods
from app.domain.starts import write_ends, write_starts
from app.store import keys, scripts
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.clock import ClockEstimate
from app.store.commands import Command, Require, team_exists, user_exists
from app.store.connection import store_errors
from app.store.reads import read_hashes

RAISE = "raise:"
STATE_LENGTH = 8  # values of each limit in a script's reply
# By their texts; calling the type takes ten times as long.
OWNERS = {str(owner): owner for owner in Owner}
UNITS = {str(unit): unit for unit in Unit}
WINDOWS = {str(window): window for window in Window}
Reply = TypeVar("Reply", bound=tuple[Any, ...])
MINUTE_MS = 60_000
MAX_TRIES = 5  # calls until both clocks agree on the periods; two are enough except at the end of a period


class PeriodArguments(TypedDict):
    """A script's arguments: the team's time zone, and by window the present periods' starts and ends (ms)."""

    zone: str
    starts: str
    ends: str


async def with_periods(
    clock: ClockEstimate, zone: str, call: Callable[[PeriodArguments], Awaitable[Reply]]
) -> Reply:
    """Call a script with the present periods; again where the store's clock or the team's zone differs."""
    answer: Any = ()
    for _ in range(MAX_TRIES):
        answer = await call(_period_arguments(clock.now_ms() // MINUTE_MS, zone))
        clock.learn(answer[1])
        if answer[0] != "clock":
            return cast("Reply", answer)
        zone = answer[2]
    raise RuntimeError(f"the store's clock does not stand still: {answer}")


@lru_cache(maxsize=1024)
def _period_arguments(minute: int, zone: str) -> PeriodArguments:
    """The arguments are the same for a minute: no period begins within one."""
    team, gateway = periods(minute * MINUTE_MS, zone), periods(minute * MINUTE_MS, "UTC")
    return {"zone": zone, "starts": write_starts(team, gateway), "ends": write_ends(team, gateway)}


def read_states(flat: Sequence[str], now_ms: int) -> tuple[LimitState, ...]:
    """The states of limits as `lua/lib/limits.lua` returns them."""
    rows = [flat[i : i + STATE_LENGTH] for i in range(0, len(flat), STATE_LENGTH)]
    return tuple(
        LimitState(
            owner=OWNERS[owner],
            unit=UNITS[unit],
            window=WINDOWS[window],
            amount=int(amount),
            used=int(used),
            held=int(held),
            resets_ms=int(resets) if resets else None,
            now_ms=now_ms,
            over=bool(int(over)),
        )
        for owner, unit, window, amount, used, held, resets, over in rows
    )


def limit_fields(limits: Sequence[Limit]) -> list[str | int]:
    """`field, value, …` of the limits' hash."""
    flat: list[str | int] = []
    for limit in limits:
        flat += [limit.name, limit.amount]
        if limit.raised_to is not None and limit.raised_until_ms is not None:
            flat += [RAISE + limit.name, f"{limit.raised_to} {limit.raised_until_ms}"]
    return flat


def set_limits(owner: str, limits: Sequence[Limit]) -> list[Command]:
    """The writes of limits where none are set."""
    return [("HSET", keys.limits(owner), *limit_fields(limits))] if limits else []


def read_limits(rules: Mapping[str, str]) -> tuple[Limit, ...]:
    """The limits in a hash, in the order of their names; raises that are over are still in it."""
    found = []
    for name, amount in sorted(rules.items()):
        if name.startswith(RAISE):
            continue
        unit, _, window = name.partition("/")
        to, _, until = rules.get(RAISE + name, "").partition(" ")
        raised = (int(to), int(until)) if to else (None, None)
        found.append(Limit(Unit(unit), Window(window), int(amount), *raised))
    return tuple(found)


def _owner_exists(owner: str, team: str | None) -> list[Require]:
    if team is None:
        return []
    return [team_exists(team) if owner == team else user_exists(team, owner)]


class LimitStore:
    """Reads limits, and changes them by administrative acts; admission counts against them."""

    def __init__(self, redis: Client, audit: AuditStore, clock: ClockEstimate) -> None:
        self._redis = redis
        self._audit = audit
        self._clock = clock

    async def of(self, owner: str) -> tuple[Limit, ...]:
        """The limits that were set for the gateway, a team, a user or a token."""
        with store_errors():
            return read_limits(await self._redis.hgetall(keys.limits(owner)))

    async def of_each(self, owners: Sequence[str]) -> dict[str, tuple[Limit, ...]]:
        """The limits that were set for each of several owners, in one round trip."""
        rows = await read_hashes(self._redis, map(keys.limits, owners))
        return {owner: read_limits(rules) for owner, rules in zip(owners, rows, strict=True)}

    async def replace(self, actor: str, owner: str, team: str | None, limits: Sequence[Limit]) -> None:
        """Set the owner's limits to these; `team` is the owner's own, None for the gateway."""
        details = {"limits": [limit.details for limit in limits]}
        writes: list[Command] = [("DEL", keys.limits(owner)), *set_limits(owner, limits)]
        require = _owner_exists(owner, team)
        await self._audit.act(actor, "limits.replace", owner, details, writes=writes, require=require)

    async def raise_limit(self, actor: str, owner: str, team: str | None, raised: Limit) -> None:
        """Write this limit of the owner, with its raise."""
        writes: list[Command] = [("HSET", keys.limits(owner), *limit_fields([raised])[2:])]
        require = _owner_exists(owner, team)
        await self._audit.act(actor, "limits.raise", owner, raised.details, writes=writes, require=require)

    async def states(self, caller: Caller, *, micro: int = 0, seconds: int = 0) -> tuple[LimitState, ...]:
        """The state of every limit of the caller; `over` where a job of this price and length would exceed it."""

        async def call(when: PeriodArguments) -> "scripts.ReadLimitStatesReply":
            with store_errors():
                return await scripts.read_limit_states(
                    self._redis,
                    team=keys.team(caller.team),
                    team_id=caller.team,
                    user_id=caller.user,
                    token_id=caller.token,
                    amount=micro,
                    seconds=seconds,
                    **when,
                )

        _, now_ms, limits = await with_periods(self._clock, caller.zone, call)
        return read_states(limits, now_ms)

    async def states_of_users(
        self, team: str, users: Sequence[str], *, zone: str
    ) -> dict[str, tuple[LimitState, ...]]:
        """The states of the limits of several users of a team, by user, in one round trip."""

        async def call(when: PeriodArguments) -> "scripts.ReadUserLimitsReply":
            with store_errors():
                return await scripts.read_user_limits(self._redis, team=keys.team(team), rest=users, **when)

        _, now_ms, found = await with_periods(self._clock, zone, call)
        return {user: read_states(flat, now_ms) for user, flat in zip(users, found, strict=True)}
