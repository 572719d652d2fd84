"""Verification of the usage sums: they are rebuilt from the ledger entries that the store has counted."""

from collections.abc import Iterator, Mapping, Sequence

from app.domain.ledger import Entry
from app.domain.verification import Difference
from app.store import keys
from app.store.events import event_order
from app.store.ledger import Snapshot
from app.store.usage import HOURS_KEPT_MS, hour_and_day, usage_change

UNITS = ("jobs", "video_seconds", "spent", "held")
EMPTY = "0 0 0 0"
NEVER_MS = 2**63


class RebuiltUsage:
    """The usage sums rebuilt from entries.

    `counted` has the last entry in each team's sums at the beginning, `days` the days with sums. Newer entries are
    remembered, because the store may not have counted them by the end.
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
        """The keys of all compared sums."""
        return {keys.USAGE_COUNTED, *self._sums}

    def add(self, team: str, entry: Entry) -> None:
        """Add the next entry of a team."""
        if event_order(entry.id) > event_order(self._counted.get(team, "0-0")):
            self._recent.append((team, entry))
        self._count(team, entry, sign=1)

    def differences(self, snapshot: Snapshot) -> Iterator[Difference]:
        """The store's sums that differ; entries that it had not counted are left out."""
        counted = snapshot.hashes[keys.USAGE_COUNTED]
        for team, entry in self._recent:
            if event_order(entry.id) > event_order(counted.get(team, "0-0")):
                self._count(team, entry, sign=-1)
        for name, sums in sorted(self._sums.items()):
            if snapshot.now_ms < self._until_ms.get(name, NEVER_MS):
                stored = snapshot.hashes[name]
                for field in sorted(stored.keys() | sums.keys()):
                    yield from _compared(name, field, stored.get(field, EMPTY), sums.get(field, [0] * len(UNITS)))

    def _names(self, team: str, day: int) -> list[str]:
        """The keys of the day's sums: by day, and by hour while those are kept."""
        names = [keys.usage_day(team, day)]
        if self._now_ms < day + HOURS_KEPT_MS:
            names.append(keys.usage_hours(team, day))
            self._until_ms[names[1]] = day + HOURS_KEPT_MS
        for name in names:
            self._sums.setdefault(name, {})
        return names

    def _count(self, team: str, entry: Entry, *, sign: int) -> None:
        change = usage_change(entry)
        if change is None:
            return
        field, amounts = change
        hour, day = hour_and_day(entry)
        for name, own_field in zip(self._names(team, day), (field, f"{hour} {field}"), strict=False):
            sums = self._sums[name].setdefault(own_field, [0] * len(UNITS))
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
