"""Ledger entries, and lines of the audit log."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from app.domain.ledger import Correction, Entry
from app.domain.money import format_usd
from app.domain.times import iso
from app.services.audit import Act, Verdict
from app.views.cells import harmless
from app.views.fields import Object, Time, Usd


class EntryView(TypedDict):
    """One ledger entry; members that do not apply are null."""

    id: str
    type: str
    amount_usd: Usd
    job: str | None
    user: str | None
    key: str | None
    token: str | None
    model: str | None
    video_seconds: int
    price_version: str | None
    reason: str | None
    at: Time
    admitted_at: Time


class LedgerPage(TypedDict):
    """Ledger entries, newest first."""

    data: list[EntryView]
    next_cursor: str | None


class AdjustmentView(TypedDict):
    """A credit or a correction of a team's money, or the outcome of correcting a job's charge."""

    team: str
    reason: str
    done: Literal["credit", "correction"] | Correction
    amount_usd: NotRequired[Usd]
    correction_usd: NotRequired[Usd]
    job: NotRequired[str]
    actual_usd: NotRequired[Usd]


class ActView(TypedDict):
    """One line of the audit log; `hash` chains it to the line before."""

    number: int
    at: Time | None
    actor: str
    action: str
    target: str
    details: Object
    hash: str


class AuditPage(TypedDict):
    """Lines of the audit log, newest first."""

    data: list[ActView]
    next_cursor: str | None


class AuditVerdict(TypedDict):
    """Whether the log is unchanged; `broken_at` is the number of the first line that does not fit."""

    lines: int
    intact: bool
    broken_at: int | None


def exported_entry(team: str, entry: Entry) -> dict[str, Any]:
    """An entry in an export: with its team, and the cursor after which the export goes on."""
    return {"cursor": f"{team}/{entry.id}", "team": team, **entry_view(entry)}


def exported_act(act: Act) -> dict[str, Any]:
    """A line of the audit log in an export, likewise."""
    return {"cursor": act.id, **act_view(act)}


def entry_view(entry: Entry) -> EntryView:
    """One ledger entry."""
    return {
        "id": entry.id,
        "type": entry.type,
        "amount_usd": format_usd(entry.amount),
        "job": entry.job or None,
        "user": entry.user or None,
        "key": entry.key or None,
        "token": entry.token or None,
        "model": entry.model or None,
        "video_seconds": entry.seconds,
        "price_version": entry.price_version or None,
        "reason": entry.reason or None,
        "at": iso(entry.at_ms),
        "admitted_at": iso(entry.admitted_ms),
    }


def entries_csv(entries: Iterable[Entry], names: Mapping[str, str]) -> str:
    """The entries as CSV with a header line (RFC 4180); `names` has those of users and keys by their ids."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*EntryView.__annotations__, "user_name", "key_name"])
    for entry in entries:
        view = entry_view(entry)
        named = [names.get(entry.user, ""), names.get(entry.key, "")]
        free = harmless(entry.reason)  # what people wrote; amounts may begin with a minus
        cells = [free if column == "reason" else value for column, value in view.items()]
        writer.writerow(["" if cell is None else cell for cell in [*cells, *map(harmless, named)]])
    return out.getvalue()


def act_view(act: Act) -> ActView:
    """One line of the audit log."""
    return {
        "number": act.number,
        "at": iso(act.at_ms),
        "actor": act.actor,
        "action": act.action,
        "target": act.target,
        "details": act.details,
        "hash": act.hash,
    }


def verdict_view(verdict: Verdict) -> AuditVerdict:
    """The result of verifying the log."""
    return {"lines": verdict.lines, "intact": verdict.intact, "broken_at": verdict.broken_at}
