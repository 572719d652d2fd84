"""`filmgate alerts`: try the receiver of alarms."""

from collections.abc import Mapping
from typing import Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.exits import Failure
from app.cli.tables import print_view

group = typer.Typer(no_args_is_help=True)


def _print_attempt(view: Mapping[str, Any], *, as_json: bool) -> None:
    print_view(view, as_json=as_json)
    if not view["delivered"]:
        raise Failure(f"The receiver did not take the test message: {view['error']}.")


@group.callback()
def alerts() -> None:
    """Alarms that are sent to FILMGATE_ALERT_WEBHOOK."""


@group.command("test")
@admin_command(_print_attempt)
async def test(calls: AdminCalls) -> View:
    """Send a test message to FILMGATE_ALERT_WEBHOOK now; exit 1 when it is not taken."""
    return await calls.try_alerts()
