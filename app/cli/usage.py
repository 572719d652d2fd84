"""`filmgate usage`: the sums of the ledger."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import OfTeam
from app.cli.store_command import with_gateway
from app.cli.tables import AsJson, print_json, print_table
from app.domain.accounts import NO_TEAM
from app.domain.errors import NotFound
from app.services.usage import Grouping, Report
from app.views.usage import report_view, row_view, sums_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

DAY_HELP = "A day such as 2026-11-01, or a time such as 2026-11-01T12:00:00Z;"


def usage(
    *,
    team: OfTeam = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help=f"{DAY_HELP} by default the first of the month.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help=f"{DAY_HELP} exclusive; by default now.")
    ] = None,
    group_by: Annotated[Grouping, typer.Option(help="The groups of the sums.")] = Grouping.DAY,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show jobs, seconds of video and dollars, of every team or of one.

    Jobs count from their admission. Days are those of the team's time zone; for all teams, the span is in UTC.
    """
    if as_csv and as_json:
        raise typer.BadParameter("they cannot go together.", param_hint=["--csv", "--json"])

    async def ask(gateway: "Gateway") -> Report:
        found = None if team is None else await gateway.accounts.team(team)
        if team is not None and found is None:
            raise NotFound(NO_TEAM)
        span = await gateway.usage.span(start, end, zone="UTC" if found is None else found.time_zone)
        return await gateway.usage.report(team, from_ms=span.from_ms, to_ms=span.to_ms, group_by=group_by)

    report = with_gateway(ask)
    if as_json:
        print_json(report_view(report))
    elif as_csv:
        from app.api.v1.usage import csv_text  # noqa: PLC0415  imports FastAPI, which takes half a second

        typer.echo(csv_text(report), nl=False)
    else:
        _print(report)


def _print(report: Report) -> None:
    """A row for each group, and the total."""
    rows = [list(row_view(row, report.group_by).values()) for row in report.rows]
    columns = list(row_view(report.rows[0], report.group_by)) if report.rows else []
    totals = list(sums_view(report.total).values())
    if rows:
        rows.append(["total", *[""] * (len(columns) - 1 - len(totals)), *totals])
    print_table([column.replace("_", " ") for column in columns], rows)
