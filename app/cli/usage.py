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

NARROW = ("video seconds", "held usd")  # left out on a narrow terminal
DAY_HELP = "A day such as 2026-11-01, or a time such as 2026-11-01T12:00:00Z;"

NAMES = {"team": "team_name", "user": "name", "key": "name"}  # of an id, the member with its name

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
    """Names first, headed by what they name; the ids are last, where there is room for them."""
    members = list(report["data"][0]) if report["data"] else []
    name_of = {one: name for one, name in NAMES.items() if {one, name} <= {*members}}
    titles = {name: one for one, name in name_of.items()} | {one: f"{one} id" for one in name_of}
    columns = [*name_of.values(), *(one for one in members if one not in titles), *name_of]
    rows = [[row.get(name) for name in columns] for row in report["data"]]
    if rows:
        total = {columns[0]: "total", **report["total"]}
        rows.append([total.get(name) for name in columns])
    shown = [titles.get(name, name.replace("_", " ")) for name in columns]
    print_table(shown, rows, spare=[*NARROW, *(titles[one] for one in name_of)])


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
    group_by: Annotated[
        Grouping, typer.Option(metavar="GROUP", help=f"A row for each of: {', '.join(Grouping)}.")
    ] = Grouping.DAY,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> str | View:
    """Show jobs, seconds of video and dollars, of every team or of one.

    Jobs count from their admission. Days are those of the team's time zone; for all teams, the span is in UTC.

    Example: `filmgate usage --from 2026-11-01 --group-by user --csv`
    """
    query = {"team": team, "from": start, "to": end, "group_by": group_by.value}
    return await calls.usage_csv(query) if as_csv else await calls.usage(query)
