"""A change of a team's time zone; the usage of its present calendar windows is carried over (domain/zones.py)."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass

from app.domain.accounts import Team
from app.domain.errors import Conflict, FilmgateError
from app.domain.limits import ADJUSTED_KEPT_MS, Period, Window, periods
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
from app.store.commands import Command, Require, flatten
from app.store.connection import store_errors
from app.store.ledger import LedgerStore

FIELD = "carried"  # of a team: `{window: [[start of a period (ms), until when it counts (ms)], …]}`


@dataclass(frozen=True, slots=True)
class ZoneFields:
    """The fields of a team that decide its calendar, as text; None where a field is missing."""

    zone: str | None
    carried: str | None

    @property
    def extensions(self) -> Extensions:
        """The periods that earlier changes carried over."""
        return {Window(window): dict(rows) for window, rows in json.loads(self.carried or "{}").items()}


class CalendarChanged(Conflict):
    """A calendar window ended, or the team was changed, while the change was prepared; prepare it again."""


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """The writes of a change of zone besides the zone itself, and their conditions."""

    writes: list[Command]
    require: list[Require]


class ZoneStore:
    """Prepares a change of a team's time zone; the act that changes the team applies it, all or nothing."""

    def __init__(self, redis: Client, ledger: LedgerStore, accounts: AccountStore, clock: StoreClock) -> None:
        self._redis = redis
        self._ledger = ledger
        self._accounts = accounts
        self._clock = clock

    async def prepare_change(self, team: Team, zone: str) -> ZoneChange:
        """The writes and conditions of a new zone.

        1. read the team's calendar; compute the periods of both zones by the store's clock
        2. extend the old zone's periods that have begun: they count until they would have ended
        3. sum up from the ledger what else counts in the new periods, for the team and each of its users
        4. the conditions: no period ends, the calendar is not changed, and no user is added meanwhile
        """
        fields = await self._fields(team.id)
        now_ms = await self._clock.now_ms()
        old, new = periods(now_ms, fields.zone or "UTC"), periods(now_ms, zone)
        extensions = extend(fields.extensions, old, new, now_ms)
        users = await self._accounts.users(team.id, deleted=True)
        jobs = await self._counted_jobs(team.id, since_ms=ledger_needed_since(extensions, new))
        different = [window for window in old if old[window].start_ms != new[window].start_ms]
        writes = [_extensions_write(team.id, extensions)]
        for owner in (team.id, *(user.id for user in users if user.deleted_ms is None)):
            for window in different:
                carried = carry_over(window, extensions.get(window, {}), new, jobs.get(owner, []))
                writes += _carried_writes(keys.period(window, new[window].start_ms, owner), new[window], carried)
        turned = CalendarChanged("A calendar window turned in this moment; send it again.")
        require = _unchanged(team.id, fields, turned)
        ends = [period.end_ms for calendar in (old, new) for period in calendar.values()]
        require.append(Require(("before", min(ends)), turned))
        require.append(Require(("size", keys.team_users(team.id), len(users)), turned))
        return ZoneChange(writes, require)

    async def _fields(self, team: str) -> ZoneFields:
        with store_errors():
            zone, carried = await self._redis.hmget(keys.team(team), "time_zone", FIELD)
        return ZoneFields(zone, carried)

    async def _counted_jobs(self, team: str, *, since_ms: int) -> dict[str, list[CountedJob]]:
        """The jobs admitted since then, by owner: the team and each of its users."""
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
        by_owner: dict[str, list[CountedJob]] = defaultdict(list)
        for job in jobs.values():
            by_owner[team].append(job)
            by_owner[job.user].append(job)
        return by_owner


def _unchanged(team: str, fields: ZoneFields, error: FilmgateError) -> list[Require]:
    """The team's calendar is still the one that was read."""
    name = keys.team(team)
    return [
        Require(("no_field", name, field) if value is None else ("same", name, field, value), error)
        for field, value in (("time_zone", fields.zone), (FIELD, fields.carried))
    ]


def _extensions_write(team: str, extensions: Extensions) -> Command:
    text = json.dumps({window: sorted(periods.items()) for window, periods in extensions.items()})
    return ("HSET", keys.team(team), FIELD, text)


def _carried_writes(name: str, period: Period, carried: CarriedOver) -> list[Command]:
    """The writes into the sums of one owner's present period of the new zone."""
    also = [{"start": start, **asdict(amount)} for start, amount in carried.without.items()]
    fixed = {f"fixed:{unit}": count for unit, count in asdict(carried.fixed).items()}
    return [
        ("HSET", name, "also", json.dumps(also), *flatten(fixed)),
        ("PEXPIREAT", name, period.end_ms + ADJUSTED_KEPT_MS, "NX"),
    ]
