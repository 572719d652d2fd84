"""The audit log: who did what, and whether the log was changed afterwards."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from app.domain.audit import AuditLine, chain
from app.domain.export_range import ExportRange
from app.store.audit import AuditStore


@dataclass(frozen=True, slots=True)
class Act:
    """One administrative action; `id` is its position in the log, `hash` chains it to the one before."""

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
    """The result of verifying the log: its number of lines, and the number of the first wrong one."""

    lines: int
    broken_at: int | None

    @property
    def intact(self) -> bool:
        """True when every line is unchanged."""
        return self.broken_at is None


@dataclass(frozen=True, slots=True)
class Audit:
    """Reads and verifies the log."""

    audit: AuditStore

    async def page(self, *, before: str | None, count: int) -> list[Act]:
        """Up to `count` actions, newest first, older than the one with the id `before`."""
        return [_act(line) for line in await self.audit.page(before=before, count=count)]

    async def export(self, span: ExportRange) -> AsyncIterator[Act]:
        """Every action in the span, oldest first; ValueError when `span.after` is no cursor of the log."""
        team, line_id = span.position()
        if team:
            raise ValueError(f"{span.after!r} is a cursor of the ledger, not of the audit log.")
        async for line in self.audit.lines(from_ms=span.from_ms, after=line_id):
            if span.ends_before(line.id):
                return
            yield _act(line)

    async def verify(self) -> Verdict:
        """Whether no line was changed, removed, inserted or cut off at either end.

        1. read from the head which line is the last; again afterwards, because lines are added meanwhile
        2. each line must have the next number, and the hash of the line before with its own text
        3. the head's line must be there, and none after the last one that the head names afterwards
        """
        number, newest = await self.audit.head()
        lines, previous = 0, ""
        async for line in self.audit.lines():
            lines += 1
            changed = line.number != lines or line.hash != chain(previous, line.text)
            if changed or (lines == number and line.hash != newest):
                return Verdict(lines, lines)
            previous = line.hash
        if lines < number:
            return Verdict(lines, lines + 1)
        number, _ = await self.audit.head()
        return Verdict(lines, number + 1 if lines > number else None)


def _act(line: AuditLine) -> Act:
    """The action of a line; empty if the line was made unreadable, which `verify` reports."""
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
