"""Money in the store: entries, sums, disputes, corrections."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from app.domain.accounts import Team
from app.domain.errors import Code, Conflict, Unprocessable
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.ledger import Balance, Correction, Entry
from app.domain.limits import ADJUSTED_KEPT_MS, GATEWAY, periods
from app.domain.money import MAX_MICRO, format_usd
from app.domain.starts import write_starts
from app.store import keys, scripts
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.commands import Command, Require, flatten, team_exists
from app.store.connection import store_errors
from app.store.entries import read_entries, rows_of_job
from app.store.reads import read_stream
from app.store.records import facts_of

PAGE = 1000
NEAR_MS = 50  # an entry is written by the script that moves its job
NEAR = 200  # entries of all jobs in that time
MAX_LATER = 50  # entries of one job after its end


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What verification reads in one transaction.

    Attributes:
        now_ms: the store's time.
        latest_ms: the latest time that its clock has shown. It may have been set back since: sums that ended before
            this may be gone.
        teams: the ids of all teams, deleted ones too.
        tails: by requested team, the entries after the last one that was known.
        hashes: sums and reservations by key, as text; empty where there are none.
        sets: the job ids in each set by key.
        jobs: by ref, the record's status and user; both None where there is no record.
    """

    now_ms: int
    latest_ms: int
    teams: frozenset[str]
    tails: dict[str, list[Entry]]
    hashes: dict[str, dict[str, str]]
    sets: dict[str, set[str]]
    jobs: dict[str, tuple[str | None, str | None]]


Adjustment = Literal["credit", "correction"]
Corrector = Literal["person", "bill", "answer"]  # who says what a job cost; the answer is fal's result
OVER = "The hour turned in this moment; send it again."
BELOW = "Less than nothing would be spent; name the job that is corrected."
ABOVE = "The sum would be more than 9 billion dollars."


class LedgerStore:
    """Reads the ledger, adjusts sums, decides disputes and corrects charges; the scripts of jobs do the rest."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def balance(self, team: str) -> Balance:
        """The team's total sums."""
        with store_errors():
            reserved, spent = await self._redis.hmget(keys.total(team), "held:usd", "used:usd")
        return Balance(int(reserved or 0), int(spent or 0))

    async def reservations(self, team: str) -> dict[str, int]:
        """The reserved amounts by job id."""
        with store_errors():
            rows = await self._redis.hgetall(keys.reservations(team))
        return {job: int(amount) for job, amount in rows.items()}

    async def read(self, team: str, *, from_ms: int = 0, after: str | None = None) -> AsyncIterator[Entry]:
        """Every movement from this time on, or after the entry with this id, oldest first; read by pages."""
        start = str(from_ms) if after is None else f"({after}"
        async for page in read_stream(self._redis, keys.ledger(team), start=start, count=PAGE):
            with store_errors():
                entries = await read_entries(self._redis, {team: page})
            for entry in entries[team]:
                yield entry

    async def entries(self, team: str) -> list[Entry]:
        """Every movement, oldest first."""
        return [entry async for entry in self.read(team)]

    async def page(
        self, team: str, *, before: str | None, count: int, from_ms: int = 0, to_ms: int | None = None
    ) -> list[Entry]:
        """Up to `count` movements of that time, newest first, older than the entry with the id `before`."""
        newest = "+" if to_ms is None else str(max(0, to_ms - 1))
        inside = before is not None and (to_ms is None or int(before.partition("-")[0]) < to_ms)
        highest = f"({before}" if inside else newest  # the caller may have changed the span meanwhile
        with store_errors():
            rows = await self._redis.xrevrange(keys.ledger(team), max=highest, min=str(from_ms), count=count)
            return (await read_entries(self._redis, {team: rows}))[team]

    async def of_job(self, job: Job) -> list[Entry]:
        """The movements of a job's money, oldest first: at its admission, at its end, and later ones by their ids.

        Bounded, however long the ledger is. One is missing where the store's clock was set back before it.
        """
        name = keys.ledger(job.team)
        with store_errors():
            pipe = self._redis.together()
            for at_ms in (job.created_ms, job.completed_ms):
                if at_ms is not None:
                    pipe.xrange(name, min=str(at_ms), max=str(at_ms + NEAR_MS), count=NEAR)
            for entry_id in job.entries.split()[-MAX_LATER:]:
                pipe.xrange(name, min=entry_id, max=entry_id, count=1)
            rows = {entry_id: row for page in await pipe.execute() for entry_id, row in page}
            found = await read_entries(self._redis, {job.team: rows_of_job(rows, job.id)})
        return found[job.team]

    async def next_pages(self, after: Mapping[str, str]) -> dict[str, list[Entry]]:
        """Up to PAGE movements of each team after the entry with this id, oldest first, in two round trips."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for team, entry_id in after.items():
                pipe.xrange(keys.ledger(team), min=f"({entry_id}", count=PAGE)
            pages = await pipe.execute()
            return await read_entries(self._redis, dict(zip(after, pages, strict=True)))

    async def expiring_sums(self) -> tuple[int, set[str]]:
        """The store's time (ms), and the keys of all sums that expire: calendar periods' and browser tokens'."""
        with store_errors():
            seconds, micro = await self._redis.time()
            names = {
                name
                for pattern in (keys.period("*", "*", "*"), keys.total("tok_*"))
                async for name in self._redis.scan_iter(match=pattern, count=PAGE)
            }
        return milliseconds(seconds, micro), names

    async def teams(self) -> list[str]:
        """The ids of every team, deleted ones too, in order."""
        with store_errors():
            return sorted(await self._redis.smembers(keys.TEAMS))

    async def owners(self) -> tuple[set[str], dict[str, str]]:
        """Every team, and every user with its team; deleted ones too."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            pipe.smembers(keys.TEAMS)
            pipe.hgetall(keys.USERS)
            teams, users = await pipe.execute()
        return set(teams), users

    async def set_members(self, names: Collection[str]) -> dict[str, set[str]]:
        """The members of each of these sets."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.smembers(name)
            return dict(zip(names, map(set, await pipe.execute()), strict=True))

    async def snapshot(
        self, *, after: Mapping[str, str], hashes: Collection[str], sets: Collection[str], jobs: Collection[str]
    ) -> Snapshot:
        """Read all of this in one transaction. `after` has the last known entry of each team; `jobs` are refs."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.time()
            pipe.hget(keys.EPOCH, "seen_ms")
            pipe.smembers(keys.TEAMS)
            for team, entry_id in after.items():
                pipe.xrange(keys.ledger(team), min=f"({entry_id}")
            for name in hashes:
                pipe.hgetall(name)
            for name in sets:
                pipe.smembers(name)
            for ref in jobs:
                pipe.hmget(keys.job(ref), "status", "user")
            time, seen, teams, *rest = await pipe.execute()
            found, now_ms = iter(rest), milliseconds(*time)
            tails = await read_entries(self._redis, {team: next(found) for team in after})  # entries never change
        return Snapshot(
            now_ms=now_ms,
            latest_ms=max(now_ms, int(seen or 0)),
            teams=frozenset(teams),
            tails=tails,
            hashes={name: next(found) for name in hashes},
            sets={name: set(next(found)) for name in sets},
            jobs={ref: tuple(next(found)) for ref in jobs},
        )

    async def decide_dispute(self, ref: str, *, spend: bool) -> bool:
        """Spend or release the reservation of a job whose charge could not be proven."""
        team, _ = split_ref(ref)
        with store_errors():
            return await scripts.decide_dispute(
                self._redis,
                job=keys.job(ref),
                reservations=keys.reservations(team),
                ledger=keys.ledger(team),
                ref=ref,
                verb="spend" if spend else "release",
            )

    async def correct(self, job: Job, *, actual: int, reason: str, by: Corrector) -> tuple[Correction, int]:
        """Set an ended job's charge to its actual cost; the difference (micro-dollars) becomes an entry.

        After a person has said it, fal's bill changes nothing any more.
        """
        ref = f"{job.team}/{job.id}"
        with store_errors():
            outcome, difference = await scripts.correct_charge(
                self._redis,
                job=keys.job(ref),
                reservations=keys.reservations(job.team),
                ledger=keys.ledger(job.team),
                ref=ref,
                actual=actual,
                reason=reason,
                by=by,
                rest=facts_of(job),
            )
        return Correction(outcome), difference

    async def adjust(
        self, actor: str, kind: Adjustment, team: Team, *, micro: int, reason: str, now_ms: int
    ) -> None:
        """An entry without a job: a credit in the team's sums, a correction in its total and the gateway's.

        Conflict when a sum would become negative, or a period of a credit ended meanwhile. Scripts count in
        doubles, which are exact up to 2^53 micro-dollars; no sum may exceed that.
        """
        own, gateway = periods(now_ms, team.time_zone), periods(now_ms, "UTC")
        require = [team_exists(team.id)]
        ends: dict[str, int | None] = {keys.total(team.id): None}  # of the sums by key
        field, starts = "used:usd", ""
        if kind == "credit":
            field, starts = "credit:usd", write_starts(own, gateway)
            first_end_ms = min(period.end_ms for period in own.values())
            require.append(Require(("before", first_end_ms), Conflict(OVER, code=Code.CONFLICT)))
            ends |= {keys.period(window, one.start_ms, team.id): one.end_ms for window, one in own.items()}
        else:
            ends[keys.total(GATEWAY)] = None
        above, below = Unprocessable(ABOVE), Conflict(BELOW, code=Code.BELOW_ZERO)
        most = MAX_MICRO - max(0, micro)
        require += [Require(("at_most", name, field, most), above) for name, end in ends.items() if end is None]
        writes: list[Command] = []
        for name, end in ends.items():
            writes.append(("HINCRBY", name, field, micro))
            require.append(Require(("at_least", name, field, max(0, -micro)), below))
            if end is not None:
                writes.append(("PEXPIREAT", name, end + ADJUSTED_KEPT_MS, "NX"))
        entry = {"type": kind, "amount": micro, "at": now_ms, "admitted": now_ms, "seconds": 0, "reason": reason}
        blank = dict.fromkeys(("job", "user", "key", "token", "model", "price_version"), "")
        writes.append(("XADD", keys.ledger(team.id), "*", *flatten({**entry, **blank, "starts": starts})))
        details = {"amount_usd": format_usd(micro), "reason": reason}
        await self._audit.act(actor, f"ledger.{kind}", team.id, details, writes=writes, require=require)
