"""The audit log: who did what, and whether anybody has touched the log since."""

import json
from dataclasses import dataclass
from typing import Any

from app.domain.audit import AuditLine, chain
from app.store.audit import AuditStore


@dataclass(frozen=True, slots=True)
class Act:
    """One administrative act. `id` is its place in the log, for paging; `hash` chains it to the act before."""

    id: str
    number: int
    at_ms: int | None
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look through the whole log found: how many lines, and the number of the first one that is wrong."""

    lines: int
    broken_at: int | None

    @property
    def intact(self) -> bool:
        """True when every line is as it was written."""
        return self.broken_at is None


class Audit:
    """Reads the log; it grows with every administrative act, and never changes otherwise."""

    def __init__(self, audit: AuditStore) -> None:
        self._audit = audit

    async def page(self, *, before: str | None, count: int) -> list[Act]:
        """Up to `count` acts, newest first, older than the one with the id `before`."""
        return [_act(line) for line in await self._audit.page(before=before, count=count)]

    async def verify(self) -> Verdict:
        """Whether the log is as it was written: nothing changed, left out, put in, or cut off at an end.

        1. the head says what the last line must be; it is read before and after, because acts go on meanwhile
        2. each line has the next number, and the hash that the line before and its own text make
        3. the line that the head spoke of is there, and none stands behind the last one that it knows
        """
        number, newest = await self._audit.head()
        lines, previous = 0, ""
        async for line in self._audit.lines():
            lines += 1
            changed = line.number != lines or line.hash != chain(previous, line.text)
            if changed or (lines == number and line.hash != newest):
                return Verdict(lines, lines)
            previous = line.hash
        if lines < number:
            return Verdict(lines, lines + 1)
        number, _ = await self._audit.head()
        return Verdict(lines, number + 1 if lines > number else None)


def _act(line: AuditLine) -> Act:
    """The act of a line. One that somebody has made unreadable is shown empty; `verify` says more."""
    try:
        entry = json.loads(line.text)
    except ValueError:
        entry = {}
    return Act(
        id=line.id,
        number=line.number,
        at_ms=entry.get("at_ms"),
        actor=entry.get("actor", ""),
        action=entry.get("action", ""),
        target=entry.get("target", ""),
        details=entry.get("details", {}),
        hash=line.hash,
    )
