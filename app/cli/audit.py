"""`filmgate audit`: who did what, and whether anybody has touched the log since."""

import typer

from app.cli.exits import Failure
from app.cli.options import Rows
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_view, print_views
from app.gateway import Gateway
from app.services.audit import Verdict
from app.views.ledger import ActView, act_view

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
def list_acts(*, limit: Rows = 50, as_json: AsJson = False) -> None:
    """List the administrative acts, the newest first."""

    async def ask(gateway: Gateway) -> list[ActView]:
        return [act_view(act) for act in await gateway.audit.page(before=None, count=limit)]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("verify")
def verify(*, as_json: AsJson = False) -> None:
    """Look through the whole log: exit 1 when a line was changed, left out, put in or cut off."""

    async def ask(gateway: Gateway) -> Verdict:
        return await gateway.audit.verify()

    verdict = with_gateway(ask)
    view = {"lines": verdict.lines, "intact": verdict.intact, "broken_at": verdict.broken_at}
    print_view(view, as_json=as_json)
    if not verdict.intact:
        raise Failure(f"The audit log is not as it was written, from line {verdict.broken_at} on.")
