"""Alarms about hosts: one is gone, two have different settings, a clock is wrong."""

import time
from collections import defaultdict
from collections.abc import Sequence

from app.domain.times import iso
from app.services.checks.finding import Finding
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
        await self._hosts.forget([one.name for one in records if now_ms - one.at_ms > GIVEN_UP_MS])
        alive = [one for one in records if now_ms - one.at_ms <= ALIVE_MS]
        return [*self._gone(now_ms, records, alive), *self._settings(alive), *_clocks(alive)]

    def _gone(self, now_ms: int, records: Sequence[HostRecord], alive: Sequence[HostRecord]) -> list[Finding]:
        """Hosts that stopped reporting without saying so, and neither came back nor were replaced."""
        now = time.monotonic()
        if now - self._looked_at > GAP_S:
            self._looking_since = now
        self._looked_at = now
        found = {}
        for one in records:
            if GONE_MS < now_ms - one.at_ms <= GIVEN_UP_MS and not any(_replaces(other, one) for other in alive):
                about = f"{one.role} {one.host}"
                sentence = (
                    f"The host {one.host} ({one.role}) has not reported since {iso(one.at_ms)}, and did not stop."
                )
                found[about] = Finding("host_gone", sentence, about=about)
        return list(found.values()) if now - self._looking_since >= self._report_s else []

    def _settings(self, alive: Sequence[HostRecord]) -> list[Finding]:
        """A finding for each setting that has had several values for a while; who has none does not count."""
        values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for one in alive:
            for setting, value in one.settings.items():
                values[setting][value].add(f"{one.host} ({one.role})")
        differ = {setting: hosts for setting, hosts in values.items() if len(hosts) > 1}
        now = time.monotonic()
        self._differ_since = {setting: self._differ_since.get(setting, now) for setting in differ}
        return [
            Finding("settings_differ", f"{setting} is {_by_value(hosts)}.", about=setting)
            for setting, hosts in differ.items()
            if now - self._differ_since[setting] >= self._settle_s
        ]


def _replaces(other: HostRecord, gone: HostRecord) -> bool:
    """The same host again, or a new one of this role that began after the other went."""
    back = other.host == gone.host and other.at_ms > gone.at_ms
    return other.role == gone.role and other.name != gone.name and (back or other.began_ms > gone.at_ms)


def _by_value(hosts: dict[str, set[str]]) -> str:
    """`30 on a (api), b (worker) and 7 on c (worker)`, the value of most hosts first."""
    rows = sorted(hosts.items(), key=lambda row: (-len(row[1]), row[0]))
    return " and ".join(f"{value} on {', '.join(sorted(names)[:MOST_HOSTS])}" for value, names in rows)


def _clocks(alive: Sequence[HostRecord]) -> list[Finding]:
    found = {}
    for one in alive:
        if abs(one.clock_ms) > CLOCK_MS:
            ahead = "ahead of" if one.clock_ms > 0 else "behind"
            sentence = f"The clock of {one.host} is {round(abs(one.clock_ms) / 1000)} s {ahead} the store's."
            found[one.host] = Finding("clock_off", sentence, about=one.host)
    return list(found.values())
