"""`filmgate alerts`: try the receiver of alarms."""

from typing import TYPE_CHECKING

import typer

from app.cli.exits import Failure
from app.cli.store_command import store_command
from app.cli.tables import print_json, print_view
from app.views.operations import AlertTestView, alert_test_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

group = typer.Typer(no_args_is_help=True)


def _print_attempt(view: AlertTestView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        print_view(view, as_json=False)
    if not view["delivered"]:
        raise Failure(f"The receiver did not take the test message: {view['error']}.")


@group.callback()
def alerts() -> None:
    """Alarms that are sent to FILMGATE_ALERT_WEBHOOK."""


@group.command("test")
@store_command(_print_attempt)
async def test(gateway: "Gateway") -> AlertTestView:
    """Send a test message to FILMGATE_ALERT_WEBHOOK now; exit 1 when it is not taken."""
    return alert_test_view(await gateway.alerts.test())
