"""`filmgate audit`: the log of administrative acts, and its verification."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.cells import readable
from app.cli.exits import Failure
from app.cli.options import Rows
from app.cli.tables import Columns, print_view, print_views


def _details(view: Mapping[str, Any]) -> str:
    """As `name=Bob, team=team_…`."""
    given = {name: readable(value) for name, value in view["details"].items()}
    return ", ".join(f"{name}={text}" for name, text in given.items() if text)


COLUMNS: Columns = {
    "at": "at",
    "actor": "actor",
    "act": "action",
    "target": "target",
    "details": _details,
    "line": "number",
}

group = typer.Typer(no_args_is_help=True)


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=("line",)))
async def list_acts(calls: AdminCalls, *, limit: Rows = 50) -> Sequence[View]:
    """List the administrative acts, the newest first."""
    return await calls.acts(limit)


def _print_verdict(verdict: Mapping[str, Any], *, as_json: bool) -> None:
    print_view(verdict, as_json=as_json)
    if not verdict["intact"]:
        raise Failure(f"The audit log is not as it was written, from line {verdict['broken_at']} on.")


@group.command("verify")
@admin_command(_print_verdict)
async def verify(calls: AdminCalls) -> View:
    """Check the whole log: exit 1 when a line was changed, removed or inserted."""
    return await calls.verify_audit()
