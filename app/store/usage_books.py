"""The sums of usage verified: rebuilt from the ledgers' entries, as far as the store says that it counted them."""

from collections.abc import Iterator, Mapping, Sequence

from app.domain.ledger import Entry
from app.domain.verification import Difference
from app.store import keys
from app.store.events import event_order
from app.store.ledger import Snapshot
from app.store.usage import HOURS_KEPT_MS, change, place

UNITS = ("jobs", "video_seconds", "spent", "held")
NOTHING = "0 0 0 0"
ALWAYS = 2**63


class UsageBook:
    """What the entries say, taken in one after the other.

    `counted` is by team the last entry in its sums when this began, `days` by team the days that had sums.
    What came since is kept, because the sums may not have it yet at the end.
    """

    def __init__(self, now_ms: int, counted: Mapping[str, str], days: Mapping[str, Sequence[int]]) -> None:
        self._now_ms = now_ms
        self._counted = counted
        self._sums: dict[str, dict[str, list[int]]] = {}
        self._until_ms: dict[str, int] = {}  # when sums by hour are forgotten
        for team, starts in days.items():
            for day in starts:
                self._names(team, day)
        self._recent: list[tuple[str, Entry]] = []

    @property
    def names(self) -> set[str]:
        """The keys of all sums that are compared."""
        return {keys.USAGE_COUNTED, *self._sums}

    def add(self, team: str, entry: Entry) -> None:
        """The next entry of a team."""
        if event_order(entry.id) > event_order(self._counted.get(team, "0-0")):
            self._recent.append((team, entry))
        self._take(team, entry, sign=1)

    def differences(self, snapshot: Snapshot) -> Iterator[Difference]:
        """Where the store's sums are others; entries that were not counted by then are left out."""
        counted = snapshot.hashes[keys.USAGE_COUNTED]
        for team, entry in self._recent:
            if event_order(entry.id) > event_order(counted.get(team, "0-0")):
                self._take(team, entry, sign=-1)
        for name, sums in sorted(self._sums.items()):
            if snapshot.now_ms < self._until_ms.get(name, ALWAYS):
                stored = snapshot.hashes[name]
                for field in sorted(stored.keys() | sums.keys()):
                    yield from _compared(name, field, stored.get(field, NOTHING), sums.get(field, [0] * len(UNITS)))

    def _names(self, team: str, day: int) -> list[str]:
        """The keys of the day's sums: by day, and by hour while they are remembered."""
        names = [keys.usage_day(team, day)]
        if self._now_ms < day + HOURS_KEPT_MS:
            names.append(keys.usage_hours(team, day))
            self._until_ms[names[1]] = day + HOURS_KEPT_MS
        for name in names:
            self._sums.setdefault(name, {})
        return names

    def _take(self, team: str, entry: Entry, *, sign: int) -> None:
        changed = change(entry)
        if changed is None:
            return
        field, amounts = changed
        hour, day = place(entry)
        for name, of in zip(self._names(team, day), (field, f"{hour} {field}"), strict=False):
            sums = self._sums[name].setdefault(of, [0] * len(UNITS))
            for i, amount in enumerate(amounts):
                sums[i] += sign * amount


def _compared(name: str, field: str, stored: str, sums: list[int]) -> Iterator[Difference]:
    parts = stored.split()
    if len(parts) != len(UNITS) or not all(part.lstrip("-").isdigit() for part in parts):
        yield Difference(name, field, stored, None)
        return
    for unit, found, rebuilt in zip(UNITS, map(int, parts), sums, strict=True):
        if found != rebuilt:
            yield Difference(name, f"{unit} {field}", found, rebuilt)
