"""`filmgate audit`: the log of administrative acts, and its verification."""

from functools import partial
from typing import TYPE_CHECKING

import typer

from app.cli.exits import Failure
from app.cli.options import Rows
from app.cli.store_command import store_command
from app.cli.tables import print_view, print_views
from app.services.audit import Verdict
from app.views.ledger import ActView, act_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

COLUMNS = {
    "line": "number",
    "at": "at",
    "actor": "actor",
    "act": "action",
    "target": "target",
    "details": "details",
}

group = typer.Typer(no_args_is_help=True)


@group.command("list")
@store_command(partial(print_views, columns=COLUMNS))
async def list_acts(gateway: "Gateway", *, limit: Rows = 50) -> list[ActView]:
    """List the administrative acts, the newest first."""
    return [act_view(act) for act in await gateway.audit.page(before=None, count=limit)]


def _print_verdict(verdict: Verdict, *, as_json: bool) -> None:
    view = {"lines": verdict.lines, "intact": verdict.intact, "broken_at": verdict.broken_at}
    print_view(view, as_json=as_json)
    if not verdict.intact:
        raise Failure(f"The audit log is not as it was written, from line {verdict.broken_at} on.")


@group.command("verify")
@store_command(_print_verdict)
async def verify(gateway: "Gateway") -> Verdict:
    """Check the whole log: exit 1 when a line was changed, removed or inserted."""
    return await gateway.audit.verify()
