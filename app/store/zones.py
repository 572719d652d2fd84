"""A change of a team's time zone, so that what was used in the present calendar windows goes with it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.accounts import Team
from app.domain.errors import Conflict, FilmgateError
from app.domain.limits import ADJUSTED_KEPT_MS, Periods, Window, periods
from app.domain.zones import (
    CarriedOver,
    CountedJob,
    Extensions,
    WindowSums,
    carry_over,
    extend,
    ledger_needed_since,
)
from app.store import keys
from app.store.accounts import AccountStore
from app.store.client import Client
from app.store.clock import StoreClock
from app.store.commands import Command, Require
from app.store.connection import store_errors
from app.store.ledger import LedgerStore

FIELD = "carried"  # of a team: `{window: [[beginning, until when it counts], …]}`


@dataclass(frozen=True, slots=True)
class ZoneFields:
    """The fields of a team that decide its calendar, as text; None where it has none."""

    zone: str | None
    carried: str | None

    @property
    def extensions(self) -> Extensions:
        """What earlier changes carried over."""
        read = json.loads(self.carried or "{}")
        return {Window(window): dict(found) for window, found in read.items()}


class CalendarChanged(Conflict):
    """A window turned, or somebody changed the team, while the change was made ready; make it ready again."""


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """What a change of zone writes beside the zone, and what must still hold then."""

    writes: list[Command]
    require: list[Require]


class ZoneStore:
    """Makes a change of a team's time zone ready; the act that changes the team does it, all or nothing."""

    def __init__(self, redis: Client, ledger: LedgerStore, accounts: AccountStore, clock: StoreClock) -> None:
        self._redis = redis
        self._ledger = ledger
        self._accounts = accounts
        self._clock = clock

    async def carry(self, team: Team, zone: str) -> ZoneChange:
        """What has to be written with the new zone.

        1. read the calendar as it is, and the windows of both zones by the store's clock
        2. say which windows have begun: they count until they would have ended
        3. add up, from the ledger, what else counts in the new windows, for the team and each of its users
        4. all of it holds while no window turns, the calendar stays, and no user is added
        """
        fields = await self._fields(team.id)
        now_ms = await self._clock.now_ms()
        old, new = periods(now_ms, fields.zone or "UTC"), periods(now_ms, zone)
        extensions = extend(fields.extensions, old, new, now_ms)
        users = await self._accounts.users(team.id, deleted=True)
        bought = await self._bought(team.id, since_ms=ledger_needed_since(extensions, new))
        other = [window for window in old if old[window].start_ms != new[window].start_ms]
        writes = [_extensions_write(team.id, extensions)]
        for owner in (team.id, *(user.id for user in users if user.deleted_ms is None)):
            shares = {
                window: carry_over(window, extensions.get(window, {}), new, bought.get(owner, []))
                for window in other
            }
            writes += _carried_writes(owner, new, shares)
        turned = CalendarChanged("A calendar window turned in this moment; send it again.")
        require = _unchanged(team.id, fields, turned)
        ends = [period.end_ms for calendar in (old, new) for period in calendar.values()]
        require.append(Require(("before", min(ends)), turned))
        require.append(Require(("size", keys.team_users(team.id), len(users)), turned))
        return ZoneChange(writes, require)

    async def _fields(self, team: str) -> ZoneFields:
        """The team's zone and what was carried over."""
        with store_errors():
            zone, carried = await self._redis.hmget(keys.team(team), "time_zone", FIELD)
        return ZoneFields(zone, carried)

    async def _bought(self, team: str, *, since_ms: int) -> dict[str, list[CountedJob]]:
        """What was admitted since then and still counts, by owner: the team and each of its users."""
        jobs: dict[str, CountedJob] = {}
        async for entry in self._ledger.read(team, from_ms=since_ms):
            job = jobs.get(entry.job)
            if entry.type == "reserve":
                amount = WindowSums(1, entry.amount, entry.seconds)
                jobs[entry.job] = CountedJob(entry.user, entry.admitted_ms, entry.starts.team, amount)
            elif job is not None and entry.type == "settle":
                job.open, job.amount.usd = False, entry.amount
            elif job is not None and entry.type == "release":
                job.open, job.amount = False, WindowSums()
            elif job is not None and entry.type == "correction":
                job.amount.usd += entry.amount
        found: dict[str, list[CountedJob]] = defaultdict(list)
        for job in jobs.values():
            found[team].append(job)
            found[job.user].append(job)
        return found


def _unchanged(team: str, fields: ZoneFields, error: FilmgateError) -> list[Require]:
    """That the team's calendar is still what was read."""
    name = keys.team(team)
    given = {"time_zone": fields.zone, FIELD: fields.carried}
    return [
        Require(("no_field", name, field) if value is None else ("same", name, field, value), error)
        for field, value in given.items()
    ]


def _extensions_write(team: str, extensions: Extensions) -> Command:
    """The write that says which periods count on."""
    text = json.dumps({window: sorted(found.items()) for window, found in extensions.items()})
    return ("HSET", keys.team(team), FIELD, text)


def _carried_writes(owner: str, new: Periods, shares: Mapping[Window, CarriedOver]) -> Iterable[Command]:
    """The writes into the owner's present windows of the new zone."""
    for window, share in shares.items():
        name = keys.period(window, new[window].start_ms, owner)
        also = [
            {"start": start, "jobs": less.jobs, "usd": less.usd, "video_seconds": less.video_seconds}
            for start, less in share.without.items()
        ]
        fixed = share.fixed
        yield (
            *("HSET", name, "also", json.dumps(also), "fixed:jobs", fixed.jobs, "fixed:usd", fixed.usd),
            *("fixed:video_seconds", fixed.video_seconds),
        )
        yield ("PEXPIREAT", name, new[window].end_ms + ADJUSTED_KEPT_MS, "NX")
