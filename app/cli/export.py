"""`filmgate export`: the ledger and the audit log for accounting and archives, streamed."""

import csv
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import Failure, leave_stdout
from app.cli.options import OfTeam
from app.cli.store_command import with_gateway
from app.cli.usage import DAY_HELP
from app.cli.whole_ids import with_whole_ids
from app.domain.accounts import NO_TEAM
from app.domain.counting import counted
from app.domain.errors import FilmgateError, NotFound
from app.domain.export_range import ExportRange
from app.domain.moments import read_moment
from app.views.ledger import ActView, EntryView, exported_act, exported_entry

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

LEDGER_COLUMNS = ("cursor", "team", *EntryView.__annotations__)
AUDIT_COLUMNS = ("cursor", *ActView.__annotations__)
FLUSH_ROWS = 1000

group = typer.Typer(no_args_is_help=True)


class ExportForm(Enum):
    """How rows are written."""

    JSONL = "jsonl"
    CSV = "csv"


From = Annotated[str | None, typer.Option("--from", metavar="DAY", help=f"{DAY_HELP} by default the beginning.")]
To = Annotated[str | None, typer.Option("--to", metavar="DAY", help=f"{DAY_HELP} exclusive; by default the end.")]
After = Annotated[
    str | None, typer.Option("--after", metavar="CURSOR", help="Go on after the row with this `cursor`.")
]
Form = Annotated[ExportForm, typer.Option("--format", help="JSON lines, or CSV with a head line.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="A new file; with --after, an existing one is continued."),
]


@group.command("ledger")
def export_ledger(
    *,
    team: OfTeam = None,
    start: From = None,
    end: To = None,
    after: After = None,
    form: Form = ExportForm.JSONL,
    output: Output = None,
) -> None:
    """Write every movement of money, of all teams or one: team by team, the oldest first.

    Example: `filmgate export ledger --from 2026-11-01 --format csv`
    """
    span = _span(start, end, after)

    async def rows(gateway: "Gateway") -> AsyncIterator[dict[str, Any]]:
        from app.cli.admin_at_store import AdminAtStore  # noqa: PLC0415  slow to load: see store_command

        whole = (await with_whole_ids(AdminAtStore(gateway), {"team": team}))["team"]
        if whole is not None and await gateway.accounts.team(whole) is None:
            raise NotFound(NO_TEAM)
        async for owner, entry in gateway.ledger.export(span, team=whole):
            yield exported_entry(owner, entry)

    _write(rows, LEDGER_COLUMNS, form, output, after)


@group.command("audit")
def export_audit(
    *, start: From = None, end: To = None, after: After = None, form: Form = ExportForm.JSONL, output: Output = None
) -> None:
    """Write every administrative act, the oldest first; each line's `hash` chains it to the one before."""
    span = _span(start, end, after)

    async def rows(gateway: "Gateway") -> AsyncIterator[dict[str, Any]]:
        async for act in gateway.audit.export(span):
            yield exported_act(act)

    _write(rows, AUDIT_COLUMNS, form, output, after)


def _span(start: str | None, end: str | None, after: str | None) -> ExportRange:
    """The rows that are wanted; wrong usage for a time or a cursor that is none. Days are in UTC."""
    bounds: list[int | None] = []
    for name, text in (("from", start), ("to", end)):
        try:
            bounds.append(None if text is None else read_moment(name, text, "UTC"))
        except FilmgateError:
            sentence = f"{text!r} is no day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z."
            raise typer.BadParameter(sentence, param_hint=f"--{name}") from None
    span = ExportRange(bounds[0] or 0, bounds[1], after)
    if span.to_ms is not None and span.to_ms <= span.from_ms:
        raise typer.BadParameter("it is not after --from: nothing lies between them.", param_hint="--to")
    try:
        span.position()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None
    return span


def _write(rows: Any, columns: tuple[str, ...], form: ExportForm, output: Path | None, after: str | None) -> None:
    """Write the rows as they are read, and print where a later export goes on."""
    target, begun = (sys.stdout, after is not None) if output is None else _open(output, columns, form, after)

    async def write(gateway: "Gateway") -> tuple[int, str | None]:
        count, cursor = 0, None
        table = csv.DictWriter(target, columns, lineterminator="\n")
        if form is ExportForm.CSV and not begun:
            table.writeheader()
        async for row in rows(gateway):
            if form is ExportForm.CSV:
                table.writerow({name: _csv_cell(value) for name, value in row.items()})
            else:
                target.write(json.dumps(row, ensure_ascii=False) + "\n")
            count, cursor = count + 1, row["cursor"]
            if count % FLUSH_ROWS == 0:
                target.flush()
        target.flush()
        return count, cursor

    try:
        with nullcontext() if output is None else _closing(target, output, is_new=after is None):
            count, cursor = with_gateway(write)
    except BrokenPipeError:  # `| head`
        leave_stdout()
        return
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--after") from None
    except OSError as error:
        raise Failure(f"{output or 'The output'} cannot be written ({error.strerror}).") from None
    typer.echo(
        f"{counted(count, 'row')}; go on with --after {cursor}" if count else "There are no such rows.", err=True
    )


@contextmanager
def _closing(target: IO[str], output: Path, *, is_new: bool) -> Iterator[None]:
    """Close the file; a failure leaves no new and empty one, which would be in the way of the next try."""
    try:
        with target:
            yield
    except BaseException:
        if is_new and output.stat().st_size == 0:
            output.unlink()
        raise


def _cannot_go_on(output: Path, columns: tuple[str, ...], form: ExportForm) -> str | None:
    """Why these rows cannot follow those in the file, or None."""
    try:
        with output.open("rb") as file:
            first = file.readline().decode(errors="replace")
            file.seek(-1, os.SEEK_END)
            is_whole = file.read() == b"\n"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    found = ExportForm.JSONL if first.startswith("{") else ExportForm.CSV
    if found is not form:
        return f"has no {form.value}: say --format {found.value}, or give another file"
    try:
        names = list(json.loads(first)) if form is ExportForm.JSONL else next(csv.reader([first]))
    except ValueError:
        names = [""]
    if not set(names) <= set(columns) or (form is ExportForm.CSV and tuple(names) != columns):
        return "has other columns than this export: give another file"
    return None if is_whole else "ends in the middle of a row: remove that row, and go on after the one before it"


def _open(output: Path, columns: tuple[str, ...], form: ExportForm, after: str | None) -> tuple[IO[str], bool]:
    """The file, private to this user, and whether it has rows already, which only an export `after` them may find.

    Failure when it exists otherwise, cannot be continued with such rows, or cannot be written.
    """
    begun = after is not None and output.is_file() and output.stat().st_size > 0
    if begun and (fault := _cannot_go_on(output, columns, form)):
        raise Failure(f"{output} {fault}.")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if after is None else os.O_APPEND)
    try:
        return os.fdopen(os.open(output, flags, 0o600), "w", encoding="utf-8", newline=""), begun
    except FileExistsError:
        raise Failure(f"{output} is there already; an export overwrites nothing.") from None
    except OSError as error:
        raise Failure(f"{output} cannot be written ({error.strerror}).") from None


def _csv_cell(value: Any) -> Any:
    """A value for CSV. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in {"=", "+", "@", "\t", "\r"}:
        return f"'{value}"
    return value
