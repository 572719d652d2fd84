"""`filmgate limits`: show, set and raise limits."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from app.api.admin_bodies import LONGEST_RAISE_S
from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.options import OWNER_HELP, check_distinct
from app.cli.parse import SPEC_HELP, argument, duration, parse_limit, parse_name
from app.cli.tables import Columns, print_views
from app.domain.limits import GATEWAY, Limit


def _now(name: str, view: Mapping[str, Any]) -> Any:
    return view["state"][name]


COLUMNS: Columns = {
    "limit": lambda view: f"{view['unit']}/{view['window']}",
    "amount": "amount",
    "raised to": lambda view: view.get("raised_to"),
    "until": lambda view: view.get("raised_until"),
}
PRESENT: Columns = {
    "limit": COLUMNS["limit"],
    **{name: partial(_now, name) for name in ("amount", "used", "held", "left")},
    "resets": partial(_now, "resets_at"),
    "raised until": COLUMNS["until"],
}
OWNERS_HELP = f"A team's or a user's {OWNER_HELP}, or `gateway` for everybody together."

group = typer.Typer(no_args_is_help=True)

Owner = Annotated[str, typer.Argument(parser=argument(parse_name), metavar="OWNER", help=OWNERS_HELP)]
Specs = Annotated[
    list[Limit] | None,
    typer.Argument(
        parser=argument(parse_limit), callback=check_distinct, metavar="SPEC", help=SPEC_HELP, show_default=False
    ),
]
Spec = Annotated[
    Limit, typer.Argument(parser=argument(parse_limit), metavar="SPEC", help=f"Above one that is set. {SPEC_HELP}")
]
Seconds = Annotated[
    int,
    typer.Option(
        "--for", parser=argument(duration(60, LONGEST_RAISE_S)), metavar="TIME", help="How long: 15m, 2h."
    ),
]


def _check_set(*, limits: Sequence[Limit] | None, none: bool, **_: object) -> None:
    if none == bool(limits):
        raise typer.BadParameter("name the limits, or say --none and no limit.", param_hint="SPEC")


@group.command("show")
@admin_command(partial(print_views, columns=PRESENT, spare=("raised until",)))
async def show(calls: AdminCalls, owner: Owner = GATEWAY) -> Sequence[View]:
    """Show an owner's limits, and what is used, held and left of each; by default those of the whole gateway."""
    return await calls.limits(owner)


@group.command("set")
@admin_command(partial(print_views, columns=COLUMNS), check=_check_set)
async def replace(
    calls: AdminCalls,
    owner: Owner,
    limits: Specs = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Remove all limits of the owner.")] = False,  # noqa: ARG001  see `_check_set`
) -> Sequence[View]:
    """Set an owner's limits to exactly these. Lower ones stop new jobs; running jobs continue.

    Example: `filmgate limits set user_5f0c1a2b usd/month=50 jobs/concurrent=2`
    """
    return await calls.set_limits(owner, limits or ())


@group.command("raise")
@admin_command(partial(print_views, columns=COLUMNS))
async def raise_for(calls: AdminCalls, owner: Owner, limit: Spec, *, seconds: Seconds) -> Sequence[View]:
    """Raise a limit for a while; then the lower one applies again.

    Example: `filmgate limits raise user_5f0c1a2b usd/month=80 --for 2h`
    """
    return [await calls.raise_limit(owner, limit, seconds=seconds)]
