"""Alarms about hosts: one is gone, two have different settings, a clock is wrong."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from app.domain.counting import counted
from app.domain.times import iso
from app.services.checks.finding import Finding
from app.services.host_places import replacements, without_place
from app.store.hosts import HostRecord, HostStore

ALIVE_MS = 10_000
GONE_MS = 30_000
GIVEN_UP_MS = 86_400_000
SETTLE_S = 60.0  # a rolling deployment has two settings for a while
GAP_S = 10.0  # after a longer gap between two looks the store was away, and all hosts are late
CLOCK_MS = 10_000
MOST_HOSTS = 5  # named for each value


class HostCheck:
    """Compares what the hosts report.

    `settle_s` is how long settings may differ, `report_s` how long hosts have to report after a gap.
    """

    def __init__(self, hosts: HostStore, *, settle_s: float = SETTLE_S, report_s: float = GAP_S) -> None:
        self.kinds = frozenset({"host_gone", "settings_differ", "clock_off"})
        self.every_s = 3.0
        self._hosts = hosts
        self._settle_s, self._report_s = settle_s, report_s
        self._differ_since: dict[str, float] = {}
        self._looked_at = 0.0
        self._looking_since = 0.0

    async def findings(self) -> list[Finding]:
        """All that holds now; reports of hosts that have been gone for a day are forgotten."""
        now_ms, records = await self._hosts.all()
        await self._hosts.forget([one.name for one in records if _given_up(one, now_ms)])
        alive = [one for one in records if now_ms - one.at_ms <= ALIVE_MS]
        return [*self._gone(now_ms, records, alive), *self._settings(alive), *_clocks(alive)]

    def _gone(self, now_ms: int, records: Sequence[HostRecord], alive: Sequence[HostRecord]) -> list[Finding]:
        """Hosts that stopped reporting without saying so, and neither came back nor were replaced."""
        now = time.monotonic()
        if now - self._looked_at > GAP_S:
            self._looking_since = now
        self._looked_at = now
        if now - self._looking_since < self._report_s:
            return []
        silent = [one for one in without_place(records, now_ms, after_ms=GONE_MS) if not _given_up(one, now_ms)]
        replaced = replacements(silent, records)
        missing: dict[str, list[HostRecord]] = defaultdict(list)
        for one in sorted(silent, key=lambda one: -one.at_ms):
            if one.name not in replaced:
                missing[f"{one.role} {one.host}"].append(one)
        working = {f"{one.role} {one.host}" for one in alive}
        return [
            Finding("host_gone", _absence(gone, beside=about in working), about=about)
            for about, gone in sorted(missing.items())
        ]

    def _settings(self, alive: Sequence[HostRecord]) -> list[Finding]:
        """A finding for each setting that has had several values for a while; who has none does not count."""
        values: dict[str, dict[str, list[HostRecord]]] = defaultdict(lambda: defaultdict(list))
        for one in alive:
            for setting, value in one.settings.items():
                values[setting][value].append(one)
        differ = {setting: hosts for setting, hosts in values.items() if len(hosts) > 1}
        now = time.monotonic()
        self._differ_since = {setting: self._differ_since.get(setting, now) for setting in differ}
        return [
            Finding("settings_differ", f"{setting} is {_by_value(hosts)}.", about=setting)
            for setting, hosts in differ.items()
            if now - self._differ_since[setting] >= self._settle_s
        ]


def _given_up(one: HostRecord, now_ms: int) -> bool:
    return now_ms - one.at_ms > GIVEN_UP_MS


def _absence(gone: Sequence[HostRecord], *, beside: bool) -> str:
    """The sentence about these of one role and host, the last to go first; `beside`: others of it work there."""
    role, host, since = gone[0].role, gone[0].host, iso(gone[0].at_ms)
    if not beside:
        return f"The host {host} ({role}) has not reported since {since}, and did not stop."
    who = counted(len(gone), f"{role} process", f"{role} processes")
    which = ", ".join(one.process for one in gone[:MOST_HOSTS])
    have = "has" if len(gone) == 1 else "have"
    return f"{who} of the host {host} ({which}) {have} not reported since {since}, and did not stop; others do."


def _by_value(hosts: Mapping[str, Sequence[HostRecord]]) -> str:
    """`30 on a (api), b (worker) and 7 on c (worker)`, the value of most hosts first.

    Processes of one host and role with different values have their ids: `30 on a (api 101) and 7 on a (api 102)`.
    """
    values: dict[str, set[str]] = defaultdict(set)
    for value, records in hosts.items():
        for one in records:
            values[_place(one)].add(value)
    named = {
        value: sorted({_place(one, process=len(values[_place(one)]) > 1) for one in records})
        for value, records in hosts.items()
    }
    rows = sorted(named.items(), key=lambda row: (-len(row[1]), row[0]))
    return " and ".join(f"{value} on {', '.join(names[:MOST_HOSTS])}" for value, names in rows)


def _place(one: HostRecord, *, process: bool = False) -> str:
    return f"{one.host} ({one.role} {one.process})" if process else f"{one.host} ({one.role})"


def _clocks(alive: Sequence[HostRecord]) -> list[Finding]:
    found = {}
    for one in alive:
        if abs(one.clock_ms) > CLOCK_MS:
            ahead = "ahead of" if one.clock_ms > 0 else "behind"
            sentence = f"The clock of {one.host} is {round(abs(one.clock_ms) / 1000)} s {ahead} the store's."
            found[one.host] = Finding("clock_off", sentence, about=one.host)
    return list(found.values())
