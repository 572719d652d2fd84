"""A comparison of the sums with the ledger that goes on all the time, a page of entries at once.

`filmgate ledger verify` reads everything in one run. This one remembers, for each team, up to where it has read and
the sums up to there, so that a step reads at most a page of new entries. At the end of a team's ledger it compares
the sums of the team itself; after a difference it begins anew.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from app.domain.ledger import Entry
from app.domain.limits import CALENDAR, GATEWAY
from app.domain.verification import Difference
from app.store import keys
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors
from app.store.ledger import PAGE, LedgerStore
from app.store.usage_verification import NEVER_MS
from app.store.verification import BEGINNING, MIN_KEPT_MS, changes_of, counter_differences

KEPT_MS = 30 * 86_400_000
SUMS = ("used:jobs", "used:usd", "used:video_seconds", "held:jobs", "held:usd", "held:video_seconds")


@dataclass
class _Progress:
    """Up to where a team's entries were read, and the sums up to there by key, which may expire at `until` (ms)."""

    last: str = BEGINNING
    sums: dict[str, Counter[str]] = field(default_factory=dict)
    until: dict[str, int] = field(default_factory=dict)


class LedgerChecks:
    """Compares one team after the other; what differs is kept in the store until it does not any more."""

    def __init__(self, redis: Client, ledger: LedgerStore) -> None:
        self._redis = redis
        self._ledger = ledger

    async def teams(self) -> list[str]:
        """Every team, deleted ones too, in the order in which they are compared."""
        teams, _ = await self._ledger.owners()
        return sorted(teams)

    async def step(self, team: str) -> bool:
        """Read the team's next page of entries; True when its end was reached, and the sums were compared."""
        progress = await self._progress(team)
        entries = (await self._ledger.next_pages({team: progress.last}))[team]
        if entries:
            now_ms = await self._now_ms()
            for entry in entries:
                _add(progress, team, entry, now_ms)
        if len(entries) == PAGE:
            await self._keep(team, progress)
            return False
        await self._compare(team, progress, new=bool(entries))
        return True

    async def compare_gateway(self) -> None:
        """Compare the gateway's sums with those of all teams, read in one transaction."""
        teams = await self.teams()
        names = [keys.total(GATEWAY), *map(keys.total, teams)]
        hashes = (await self._ledger.snapshot(after={}, hashes=names, sets=[], jobs=[])).hashes
        own, *others = (hashes[name] for name in names)
        expected = Counter({name: sum(int(one.get(name, 0)) for one in others) for name in SUMS})
        stored = {name: text for name, text in own.items() if name in SUMS}
        await self._note(GATEWAY, list(counter_differences(names[0], stored, expected)))

    async def faults(self) -> dict[str, str]:
        """A sentence for each team, or `gateway`, whose sums differ."""
        with store_errors():
            return await self._redis.hgetall(keys.LEDGER_FAULTS)

    async def _compare(self, team: str, progress: _Progress, *, new: bool) -> None:
        """Compare the sums with what one transaction reads: them, and the newest entries. `new`: some were read.

        A period that began with these entries is left to the next time.
        """
        progress.sums.setdefault(keys.total(team), Counter())
        progress.until[keys.total(team)] = NEVER_MS
        snapshot = await self._ledger.snapshot(
            after={team: progress.last}, hashes=[*progress.sums, keys.reservations(team)], sets=[], jobs=[]
        )
        known = set(progress.sums)
        for entry in snapshot.tails[team]:
            _add(progress, team, entry, snapshot.now_ms)
        found: list[Difference] = []
        for name in known:
            if snapshot.latest_ms < progress.until[name]:
                found += counter_differences(name, snapshot.hashes[name], progress.sums[name])
        reserved = snapshot.hashes[keys.reservations(team)]
        held = {"held:jobs": len(reserved), "held:usd": sum(map(int, reserved.values()))}
        total = progress.sums[keys.total(team)]
        found += [
            Difference(keys.reservations(team), name, amount, total[name])
            for name, amount in held.items()
            if amount != total[name]
        ]
        await self._note(team, found)
        if found:
            with store_errors():
                await self._redis.delete(keys.ledger_checked(team))
        elif new or snapshot.tails[team]:
            await self._keep(team, progress)

    async def _note(self, owner: str, found: list[Difference]) -> None:
        """Keep what differs, or that nothing does."""
        with store_errors():
            if not found:
                await self._redis.hdel(keys.LEDGER_FAULTS, owner)
                return
            one = found[0]
            rest = f", and {len(found) - 1} more" if len(found) > 1 else ""
            sentence = f"{one.key} has {one.stored} in {one.field}, and the entries say {one.rebuilt}{rest}"
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.LEDGER_FAULTS, owner, sentence)
            pipe.pexpire(keys.LEDGER_FAULTS, KEPT_MS)
            await pipe.execute()

    async def _now_ms(self) -> int:
        with store_errors():
            return milliseconds(*await self._redis.time())

    async def _progress(self, team: str) -> _Progress:
        with store_errors():
            text = await self._redis.get(keys.ledger_checked(team))
        if text is None:
            return _Progress()
        row: dict[str, Any] = json.loads(text)
        return _Progress(row["last"], {name: Counter(sums) for name, sums in row["sums"].items()}, row["until"])

    async def _keep(self, team: str, progress: _Progress) -> None:
        row = {"last": progress.last, "sums": progress.sums, "until": progress.until}
        with store_errors():
            await self._redis.set(keys.ledger_checked(team), json.dumps(row), px=KEPT_MS)


def _add(progress: _Progress, team: str, entry: Entry, now_ms: int) -> None:
    """Add the next entry to the team's total, and to the periods of which the sums exist for certain."""
    progress.last = entry.id
    names = {keys.total(team): NEVER_MS}
    names |= {
        keys.period(window, start, team): start + MIN_KEPT_MS[window]
        for window, start in entry.starts.team.items()
        if window in CALENDAR
    }
    for name, until_ms in names.items():
        if until_ms > now_ms:
            progress.until[name] = until_ms
            sums = progress.sums.setdefault(name, Counter())
            for unit, amount in changes_of(entry):
                sums[unit] += amount
    for name in [name for name, until_ms in progress.until.items() if until_ms <= now_ms]:
        del progress.until[name], progress.sums[name]
