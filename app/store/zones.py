"""A team's time zone in the store: what is read before it changes, and the writes that carry what was used over."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.errors import FilmgateError
from app.domain.limits import ADJUSTED_KEPT_MS, Periods, Window
from app.domain.zones import Amount, Bought, Share, Stretches
from app.store import keys
from app.store.audit import Command, Require
from app.store.connection import Client, store_errors
from app.store.ledger import LedgerStore

FIELD = "carried"  # of a team: `{window: [[beginning, until when it counts], …]}`


@dataclass(frozen=True, slots=True)
class ZoneFields:
    """The fields of a team that decide its calendar, as text; None where it has none."""

    zone: str | None
    carried: str | None

    @property
    def stretches(self) -> Stretches:
        """What earlier changes carried over."""
        read = json.loads(self.carried or "{}")
        return {Window(window): dict(found) for window, found in read.items()}


class ZoneStore:
    """Reads what a change of zone has to know."""

    def __init__(self, redis: Client, ledger: LedgerStore) -> None:
        self._redis = redis
        self._ledger = ledger

    async def fields(self, team: str) -> ZoneFields:
        """The team's zone and what was carried over."""
        with store_errors():
            zone, carried = await self._redis.hmget(keys.team(team), "time_zone", FIELD)
        return ZoneFields(zone, carried)

    async def bought(self, team: str, *, since_ms: int) -> dict[str, list[Bought]]:
        """What was admitted since then and still counts, by owner: the team and each of its users."""
        jobs: dict[str, Bought] = {}
        async for entry in self._ledger.read(team, from_ms=since_ms):
            job = jobs.get(entry.job)
            if entry.type == "reserve":
                amount = Amount(1, entry.amount, entry.seconds)
                jobs[entry.job] = Bought(entry.user, entry.admitted_ms, entry.starts.team, amount)
            elif job is not None and entry.type == "settle":
                job.open, job.amount.usd = False, entry.amount
            elif job is not None and entry.type == "release":
                job.open, job.amount = False, Amount()
            elif job is not None and entry.type == "correction":
                job.amount.usd += entry.amount
        found: dict[str, list[Bought]] = defaultdict(list)
        for job in jobs.values():
            found[team].append(job)
            found[job.user].append(job)
        return found


def unchanged(team: str, fields: ZoneFields, error: FilmgateError) -> list[Require]:
    """That the team's calendar is still what was read."""
    name = keys.team(team)
    given = {"time_zone": fields.zone, FIELD: fields.carried}
    return [
        Require(("no_field", name, field) if value is None else ("same", name, field, value), error)
        for field, value in given.items()
    ]


def put_stretches(team: str, stretches: Stretches) -> Command:
    """The write that says which periods count on."""
    text = json.dumps({window: sorted(found.items()) for window, found in stretches.items()})
    return ("HSET", keys.team(team), FIELD, text)


def put_shares(owner: str, new: Periods, shares: Mapping[Window, Share]) -> Iterable[Command]:
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
