"""`filmgate usage`: the sums of the ledger."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.options import OfTeam
from app.cli.parse import argument, parse_moment
from app.cli.tables import print_json, print_table
from app.services.usage import Grouping

DAY_HELP = "A day such as 2026-11-01, or a time such as 2026-11-01T12:00:00Z;"
SUMS = ("jobs", "video_seconds", "spent_usd", "held_usd")

_moment = argument(parse_moment)


def _print(report: str | View, *, as_json: bool) -> None:
    """CSV as it is; a row for each group, and the total."""
    if isinstance(report, str):
        if as_json:
            raise typer.BadParameter("they cannot go together.", param_hint=["--csv", "--json"])
        typer.echo(report, nl=False)
    elif as_json:
        print_json(report)
    else:
        _print_table(report)


def _print_table(report: Mapping[str, Any]) -> None:
    rows = [list(row.values()) for row in report["data"]]
    columns = list(report["data"][0]) if rows else []
    if rows:
        totals = [report["total"][name] for name in SUMS]
        rows.append(["total", *[""] * (len(columns) - 1 - len(totals)), *totals])
    print_table([column.replace("_", " ") for column in columns], rows)


@admin_command(_print)
async def usage(
    calls: AdminCalls,
    *,
    team: OfTeam = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", parser=_moment, metavar="DAY", help=f"{DAY_HELP} by default the first of the month."
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", parser=_moment, metavar="DAY", help=f"{DAY_HELP} exclusive; by default now."),
    ] = None,
    group_by: Annotated[Grouping, typer.Option(help="The groups of the sums.")] = Grouping.DAY,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> str | View:
    """Show jobs, seconds of video and dollars, of every team or of one.

    Jobs count from their admission. Days are those of the team's time zone; for all teams, the span is in UTC.
    """
    query = {"team": team, "from": start, "to": end, "group_by": group_by.value}
    return await calls.usage_csv(query) if as_csv else await calls.usage(query)
