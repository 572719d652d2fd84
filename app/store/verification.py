"""The books verified: every counter rebuilt from the entries, and compared with what the store holds."""

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
from app.store.usage_books import UsageBook

ROUNDS = 20  # times the list of what must be read may turn out too short, because something new began meanwhile
AT_ONCE = 20  # teams whose ledgers are read together
BEGINNING = "0-0"  # before a ledger's first entry
# How long a period's sums are there at least, from its beginning: none is shorter than four fifths of the usual
# length. Later they are compared if found.
AT_LEAST_MS = {window: LENGTH_MS[window] * 4 // 5 + min(KEPT_MS[window], ADJUSTED_KEPT_MS) for window in CALENDAR}
TOKEN_MS = DAY_MS  # the same for a browser token's, from its last admission
ALWAYS = 2**63
NO_COUNTERS = ("told:", "fixed:", "also")  # which alert was told; what a change of time zone carried over


class Rebuilt:
    """What the entries say, taken in one after the other.

    `existing` are the keys of sums that expire and were there at `now_ms`; those that are gone by then, and may
    be, are not rebuilt. `counters` is by key, `until_ms` until when the key must be there, `open` by team what is
    put aside for each job, `last` by team the last entry's id, `usage` the sums of reports.
    """

    def __init__(self, now_ms: int, existing: set[str], usage: UsageBook) -> None:
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
        """An owner whose total must be right although no entry may name it."""
        self.counters.setdefault(keys.total(owner), Counter())
        self.until_ms[keys.total(owner)] = ALWAYS

    def add(self, team: str, entry: Entry) -> None:
        """The next entry of a team."""
        self.entries += 1
        self.last[team] = entry.id
        self._reservation(team, entry)
        self.usage.add(team, entry)
        changes = _changes(entry)
        for name, until_ms in self._names(team, entry):
            self.until_ms[name] = max(until_ms, self.until_ms.get(name, 0))
            counter = self.counters.setdefault(name, Counter())
            for field, amount in changes:
                counter[field] += amount

    def _reservation(self, team: str, entry: Entry) -> None:
        """A job's money is put aside once, and closed once with the same amount."""
        held = self.open.setdefault(team, {})
        if entry.type == "reserve":
            if entry.job in held:
                self.faults.append(Difference(keys.ledger(team), entry.job, entry.amount, None))
            held[entry.job] = entry.amount
        elif entry.type in {"settle", "release"}:
            amount = held.pop(entry.job, None)
            if amount != entry.amount:
                self.faults.append(Difference(keys.ledger(team), entry.job, entry.amount, amount))

    def _names(self, team: str, entry: Entry) -> Iterator[tuple[str, int]]:
        """The keys of all sums that the entry counts in, and until when each must be there."""
        owners = [(team, entry.starts.team)]
        if entry.type != "credit":  # a credit lets the team spend more; the whole gateway has no part in it
            owners.append((GATEWAY, entry.starts.gateway))
        if entry.user:
            owners.append((entry.user, entry.starts.team))
        for owner, starts in owners:
            yield keys.total(owner), ALWAYS
            for window, start in starts.items():
                name, until_ms = keys.period(window, start, owner), start + AT_LEAST_MS[window]
                if until_ms > self._now_ms or name in self._existing:
                    yield name, until_ms
        if entry.token:
            name, until_ms = keys.total(entry.token), entry.admitted_ms + TOKEN_MS
            if until_ms > self._now_ms or name in self._existing:
                yield name, until_ms


def _changes(entry: Entry) -> list[tuple[str, int]]:
    """What an entry does to the sums of its owners; a dispute only says why money stays put aside."""
    if entry.type == "credit":
        return [("credit:usd", entry.amount)]
    if entry.type == "correction":
        return [("used:usd", entry.amount)]
    whole = (("jobs", 1), ("usd", entry.amount), ("video_seconds", entry.seconds))
    if entry.type == "reserve":
        return [(f"held:{unit}", count) for unit, count in whole]
    changes = [(f"held:{unit}", -count) for unit, count in whole if entry.type in {"settle", "release"}]
    return changes + [(f"used:{unit}", count) for unit, count in whole if entry.type == "settle"]


class Verification:
    """One run over all teams."""

    def __init__(self, ledger: LedgerStore, usage: UsageStore) -> None:
        self._ledger = ledger
        self._usage = usage

    async def run(self) -> VerificationReport:
        """Rebuild and compare.

        1. let the sums of usage catch up; note which sums that expire, and of which days, are there
        2. read each team's entries up to now, by pages, while the gateway works on
        3. read in one transaction: the entries since, every counter, the reservations, the places, their jobs
        4. where those last entries name a counter that was not read, or a team was made, go on from 2
        5. compare what was read in that one moment; what began within the last round is left to the next run
        """
        now_ms, existing = await self._ledger.expiring_sums()
        book = Rebuilt(now_ms, existing, await self._usage_book(now_ms))
        for _ in range(ROUNDS):
            await self._read_on(book)
            snapshot = await self._snapshot(book)
            for team, tail in snapshot.tails.items():
                for entry in tail:
                    book.add(team, entry)
            complete = snapshot.teams <= snapshot.tails.keys()
            if complete and book.counters.keys() | book.usage.names <= snapshot.hashes.keys():
                break
        if not complete:
            raise Unavailable("Teams are made faster than the books can be read; try again in a moment.")
        return VerificationReport(len(snapshot.tails), book.entries, list(_differences(book, snapshot)))

    async def _usage_book(self, now_ms: int) -> UsageBook:
        teams, _ = await self._ledger.owners()
        days = {}
        for team in sorted(teams):
            while await self._usage.fold(team):
                pass
            days[team] = await self._usage.days(team, from_ms=0, to_ms=now_ms + DAY_MS)
        return UsageBook(now_ms, await self._usage.counted(), days)

    async def _read_on(self, book: Rebuilt) -> None:
        """Take in what each team's ledger holds by now, a page of a few teams at once."""
        teams, _ = await self._ledger.owners()
        waiting = sorted(teams)
        while waiting:
            pages = await self._ledger.next_pages(
                {team: book.last.get(team, BEGINNING) for team in waiting[:AT_ONCE]}
            )
            for team, page in pages.items():
                for entry in page:
                    book.add(team, entry)
            unfinished = [team for team, page in pages.items() if len(page) == PAGE]
            waiting = unfinished + waiting[AT_ONCE:]

    async def _snapshot(self, book: Rebuilt) -> Snapshot:
        """The snapshot for what is known by now; a team made this moment has all its entries in it."""
        teams, users = await self._ledger.owners()
        homes = {GATEWAY: None, **{team: team for team in teams}, **users}
        for owner in homes:
            book.begin(owner)
        sets = {name: home for owner, home in homes.items() for name in (keys.live(owner), keys.queued(owner))}
        jobs = {join_ref(team, job) for team, held in book.open.items() for job in held}
        for name, ids in (await self._ledger.set_members(sets)).items():
            home = sets[name]
            jobs |= {join_ref(home, job) for job in ids if home is not None}
        return await self._ledger.snapshot(
            after={team: book.last.get(team, BEGINNING) for team in teams},
            hashes=[*book.counters, *book.usage.names, *map(keys.reservations, teams)],
            sets=sets,
            jobs=jobs,
        )


def _differences(book: Rebuilt, snapshot: Snapshot) -> Iterator[Difference]:
    yield from book.faults
    yield from book.usage.differences(snapshot)
    for name, counter in sorted(book.counters.items()):
        stored = snapshot.hashes.get(name)
        if stored or (stored is not None and snapshot.now_ms < book.until_ms.get(name, 0)):
            yield from _counter_differences(name, stored, counter)
    for team in snapshot.tails:
        name = keys.reservations(team)
        stored, held = snapshot.hashes[name], book.open.get(team, {})
        for job in sorted(stored.keys() | held.keys()):
            found = _number(stored.get(job))
            if found != held.get(job):
                yield Difference(name, job, found, held.get(job))
    yield from _place_differences(snapshot)


def _counter_differences(name: str, stored: Mapping[str, str], counter: Counter[str]) -> Iterator[Difference]:
    """A counter that is not there says 0. Fields that are no counters, or no sums of entries, are left out."""
    for field in sorted(stored.keys() | counter.keys()):
        found = _number(stored.get(field))
        if not field.startswith(NO_COUNTERS) and (found or 0) != counter[field]:
            yield Difference(name, field, found, counter[field])


def _place_differences(snapshot: Snapshot) -> Iterator[Difference]:
    """A job has its places while its record says that it has not ended, and those in line while it is queued.

    Jobs that were admitted after the list of records was made are in the last entries, and are left out.
    """
    places: dict[str, set[str]] = {}
    read = set()
    for ref, (status, user) in snapshot.jobs.items():
        team, job = split_ref(ref)
        read.add(job)
        if status is None or user is None or status in TERMINAL_STATES:
            continue
        for owner in (GATEWAY, team, user):
            places.setdefault(keys.live(owner), set()).add(job)
            if status == Status.QUEUED:
                places.setdefault(keys.queued(owner), set()).add(job)
    new = {entry.job for tail in snapshot.tails.values() for entry in tail} - read
    for name, stored in sorted(snapshot.sets.items()):
        expected = places.get(name, set())
        for job in sorted((stored ^ expected) - new):
            yield Difference(name, job, 1 if job in stored else None, 1 if job in expected else None)


def _number(text: str | None) -> int | str | None:
    """The stored number; the text itself where it is none."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text
