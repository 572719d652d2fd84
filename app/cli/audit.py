"""`filmgate audit`: the log of administrative acts, and its verification."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import typer

from app.cli.admin_calls import AdminCalls, View, names_of_owners
from app.cli.admin_command import admin_command
from app.cli.cells import readable
from app.cli.exits import Failure
from app.cli.options import Rows
from app.cli.tables import Columns, Named, print_view, print_views


def _details(view: Mapping[str, Any]) -> str:
    """As `name=Bob, team=team_…`."""
    given = {name: readable(value) for name, value in view["details"].items()}
    return ", ".join(f"{name}={text}" for name, text in given.items() if text)


COLUMNS: Columns = {
    "at": "at",
    "actor": "actor.name",
    "act": "action",
    "target": "target.name",
    "details": _details,
    "line": "number",
    "by": "actor",
    "on": "target",
}

group = typer.Typer(no_args_is_help=True)


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=("line", "by", "on")))
async def list_acts(calls: AdminCalls, *, limit: Rows = 50) -> Named:
    """List the administrative acts, the newest first."""
    return Named(await calls.acts(limit), await names_of_owners(calls))


def _print_verdict(verdict: Mapping[str, Any], *, as_json: bool) -> None:
    known = {name: value for name, value in verdict.items() if as_json or value is not None}
    print_view(known, as_json=as_json)
    if not verdict["intact"]:
        raise Failure(f"The audit log is not as it was written, from line {verdict['broken_at']} on.")


@group.command("verify")
@admin_command(_print_verdict)
async def verify(calls: AdminCalls) -> View:
    """Check the whole log: exit 1 when a line was changed, removed or inserted."""
    return await calls.verify_audit()
