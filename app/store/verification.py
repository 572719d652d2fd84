"""Verification of the ledger: every counter is rebuilt from the entries, and compared with the store's."""

from collections import Counter
from collections.abc import Iterator, Mapping

from app.domain.errors import Unavailable
from app.domain.ids import join_ref, split_ref
from app.domain.jobs import TERMINAL_STATES, Status
from app.domain.ledger import Entry
from app.domain.limits import ADJUSTED_KEPT_MS, CALENDAR, DAY_MS, GATEWAY, KEPT_MS, LENGTH_MS
from app.domain.verification import Difference, VerificationReport
from app.store import keys
from app.store.ledger import PAGE, LedgerStore, Snapshot
from app.store.usage import UsageStore
from app.store.usage_verification import NEVER_MS, RebuiltUsage

MAX_ROUNDS = 20  # of reading, while new counters or teams appear
TEAMS_AT_ONCE = 20
BEGINNING = "0-0"  # before a ledger's first entry
# How long a period's sums exist at least, from its beginning: no period is shorter than four fifths of the usual
# length. Later they are compared if they exist.
MIN_KEPT_MS = {window: LENGTH_MS[window] * 4 // 5 + min(KEPT_MS[window], ADJUSTED_KEPT_MS) for window in CALENDAR}
TOKEN_MIN_KEPT_MS = DAY_MS  # the same for a browser token's, from its last admission
NO_COUNTERS = ("told:", "fixed:", "also")  # thresholds that were announced; usage that a new time zone carried over


class RebuiltLedger:
    """The counters and reservations rebuilt from entries.

    `existing` has the keys of expiring sums at `now_ms`; sums that may have expired before are not rebuilt.
    `counters` is by key, `until_ms` until when the key must exist, `open` by team the reserved amount of each job,
    `last` by team the last entry's id, `usage` the sums of reports.
    """

    def __init__(self, now_ms: int, existing: set[str], usage: RebuiltUsage) -> None:
        self._now_ms = now_ms
        self.usage = usage
        self._existing = existing
        self.counters: dict[str, Counter[str]] = {name: Counter() for name in existing}
        self.until_ms: dict[str, int] = {}
        self.open: dict[str, dict[str, int]] = {}
        self.last: dict[str, str] = {}
        self.entries = 0
        self.faults: list[Difference] = []

    def begin(self, owner: str) -> None:
        """Compare this owner's total even if no entry names it."""
        self.counters.setdefault(keys.total(owner), Counter())
        self.until_ms[keys.total(owner)] = NEVER_MS

    def add(self, team: str, entry: Entry) -> None:
        """Add the next entry of a team."""
        self.entries += 1
        self.last[team] = entry.id
        self._reservation(team, entry)
        self.usage.add(team, entry)
        changes = changes_of(entry)
        for name, until_ms in self._names(team, entry):
            self.until_ms[name] = max(until_ms, self.until_ms.get(name, 0))
            counter = self.counters.setdefault(name, Counter())
            for field, amount in changes:
                counter[field] += amount

    def _reservation(self, team: str, entry: Entry) -> None:
        """A job's money must be reserved once, and closed once with the same amount."""
        reserved = self.open.setdefault(team, {})
        if entry.type == "reserve":
            if entry.job in reserved:
                self.faults.append(Difference(keys.ledger(team), entry.job, entry.amount, None))
            reserved[entry.job] = entry.amount
        elif entry.type in {"settle", "release"}:
            amount = reserved.pop(entry.job, None)
            if amount != entry.amount:
                self.faults.append(Difference(keys.ledger(team), entry.job, entry.amount, amount))

    def _names(self, team: str, entry: Entry) -> Iterator[tuple[str, int]]:
        """The keys of all sums that the entry counts in, and until when (ms) each must exist."""
        owners = [(team, entry.starts.team)]
        if entry.type != "credit":  # a credit is the team's alone
            owners.append((GATEWAY, entry.starts.gateway))
        if entry.user:
            owners.append((entry.user, entry.starts.team))
        for owner, starts in owners:
            yield keys.total(owner), NEVER_MS
            for window, start in starts.items():
                name, until_ms = keys.period(window, start, owner), start + MIN_KEPT_MS[window]
                if until_ms > self._now_ms or name in self._existing:
                    yield name, until_ms
        if entry.token:
            name, until_ms = keys.total(entry.token), entry.admitted_ms + TOKEN_MIN_KEPT_MS
            if until_ms > self._now_ms or name in self._existing:
                yield name, until_ms


def changes_of(entry: Entry) -> list[tuple[str, int]]:
    """What an entry adds to the sums of its owners; a dispute changes none."""
    if entry.type == "credit":
        return [("credit:usd", entry.amount)]
    if entry.type == "correction":
        return [("used:usd", entry.amount)]
    amounts = (("jobs", 1), ("usd", entry.amount), ("video_seconds", entry.seconds))
    if entry.type == "reserve":
        return [(f"held:{unit}", count) for unit, count in amounts]
    changes = [(f"held:{unit}", -count) for unit, count in amounts if entry.type in {"settle", "release"}]
    return changes + [(f"used:{unit}", count) for unit, count in amounts if entry.type == "settle"]


class Verification:
    """One run over all teams."""

    def __init__(self, ledger: LedgerStore, usage: UsageStore) -> None:
        self._ledger = ledger
        self._usage = usage

    async def run(self) -> VerificationReport:
        """Rebuild and compare.

        1. update the usage sums; remember which expiring sums exist, and which days have usage
        2. read each team's entries up to now, by pages, while the gateway is running
        3. read in one transaction: the newest entries, all counters, reservations, and sets of jobs with their jobs
        4. if the newest entries count in a counter that was not read, or there is a new team, continue with 2
        5. compare what the transaction read; counters that began in the last round are left to the next run
        """
        now_ms, existing = await self._ledger.expiring_sums()
        rebuilt = RebuiltLedger(now_ms, existing, await self._rebuilt_usage(now_ms))
        for _ in range(MAX_ROUNDS):
            await self._read_pages(rebuilt)
            snapshot = await self._snapshot(rebuilt)
            for team, tail in snapshot.tails.items():
                for entry in tail:
                    rebuilt.add(team, entry)
            complete = snapshot.teams <= snapshot.tails.keys()
            if complete and rebuilt.counters.keys() | rebuilt.usage.names <= snapshot.hashes.keys():
                break
        if not complete:
            raise Unavailable("Teams are made faster than the books can be read; try again in a moment.")
        return VerificationReport(len(snapshot.tails), rebuilt.entries, list(_differences(rebuilt, snapshot)))

    async def _rebuilt_usage(self, now_ms: int) -> RebuiltUsage:
        teams, _ = await self._ledger.owners()
        days = {}
        for team in sorted(teams):
            while await self._usage.fold(team):
                pass
            days[team] = await self._usage.days(team, from_ms=0, to_ms=now_ms + DAY_MS)
        return RebuiltUsage(now_ms, await self._usage.counted(), days)

    async def _read_pages(self, rebuilt: RebuiltLedger) -> None:
        """Add the entries of all ledgers up to now, a page of a few teams at once."""
        teams, _ = await self._ledger.owners()
        waiting = sorted(teams)
        while waiting:
            pages = await self._ledger.next_pages(
                {team: rebuilt.last.get(team, BEGINNING) for team in waiting[:TEAMS_AT_ONCE]}
            )
            for team, page in pages.items():
                for entry in page:
                    rebuilt.add(team, entry)
            unfinished = [team for team, page in pages.items() if len(page) == PAGE]
            waiting = unfinished + waiting[TEAMS_AT_ONCE:]

    async def _snapshot(self, rebuilt: RebuiltLedger) -> Snapshot:
        """The snapshot of all that is known by now; it has every entry of a new team."""
        teams, users = await self._ledger.owners()
        team_of = {GATEWAY: None, **{team: team for team in teams}, **users}
        for owner in team_of:
            rebuilt.begin(owner)
        sets = {name: team for owner, team in team_of.items() for name in (keys.live(owner), keys.queued(owner))}
        jobs = {join_ref(team, job) for team, reserved in rebuilt.open.items() for job in reserved}
        for name, ids in (await self._ledger.set_members(sets)).items():
            if (team := sets[name]) is not None:
                jobs |= {join_ref(team, job) for job in ids}
        return await self._ledger.snapshot(
            after={team: rebuilt.last.get(team, BEGINNING) for team in teams},
            hashes=[*rebuilt.counters, *rebuilt.usage.names, *map(keys.reservations, teams)],
            sets=sets,
            jobs=jobs,
        )


def _differences(rebuilt: RebuiltLedger, snapshot: Snapshot) -> Iterator[Difference]:
    yield from rebuilt.faults
    yield from rebuilt.usage.differences(snapshot)
    for name, counter in sorted(rebuilt.counters.items()):
        stored, until_ms = snapshot.hashes.get(name), rebuilt.until_ms.get(name, 0)
        may_be_lost = snapshot.now_ms < until_ms <= snapshot.latest_ms  # the store's clock was ahead for a while
        if not may_be_lost and (stored or (stored is not None and snapshot.now_ms < until_ms)):
            yield from counter_differences(name, stored, counter)
    for team in snapshot.tails:
        name = keys.reservations(team)
        stored, reserved = snapshot.hashes[name], rebuilt.open.get(team, {})
        for job in sorted(stored.keys() | reserved.keys()):
            amount = _number(stored.get(job))
            if amount != reserved.get(job):
                yield Difference(name, job, amount, reserved.get(job))
    yield from _set_differences(snapshot)


def counter_differences(name: str, stored: Mapping[str, str], counter: Counter[str]) -> Iterator[Difference]:
    """A missing counter is 0. Fields that are no sums of entries are left out."""
    for field in sorted(stored.keys() | counter.keys()):
        count = _number(stored.get(field))
        if not field.startswith(NO_COUNTERS) and (count or 0) != counter[field]:
            yield Difference(name, field, count, counter[field])


def _set_differences(snapshot: Snapshot) -> Iterator[Difference]:
    """A job is in its owners' sets `live` until it ends, and in `queued` while it is queued.

    Jobs that were admitted after the records were listed are in the newest entries, and are left out.
    """
    sets: dict[str, set[str]] = {}
    read = set()
    for ref, (status, user) in snapshot.jobs.items():
        team, job = split_ref(ref)
        read.add(job)
        if status is None or user is None or status in TERMINAL_STATES:
            continue
        for owner in (GATEWAY, team, user):
            sets.setdefault(keys.live(owner), set()).add(job)
            if status == Status.QUEUED:
                sets.setdefault(keys.queued(owner), set()).add(job)
    new = {entry.job for tail in snapshot.tails.values() for entry in tail} - read
    for name, stored in sorted(snapshot.sets.items()):
        expected = sets.get(name, set())
        for job in sorted((stored ^ expected) - new):
            yield Difference(name, job, 1 if job in stored else None, 1 if job in expected else None)


def _number(text: str | None) -> int | str | None:
    """The stored number, or the text where it is none."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text
