"""`filmgate limits`: show, set and raise limits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.api.admin_bodies import LONGEST_RAISE_S
from app.cli.options import check_distinct
from app.cli.parse import SPEC_HELP, actor, argument, duration, parse_id, parse_limit
from app.cli.store_command import store_command
from app.cli.tables import print_json, print_views
from app.domain.limits import GATEWAY, Limit
from app.views.limits import limits_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

COLUMNS = {
    "unit": "unit",
    "window": "window",
    "amount": "amount",
    "raised to": "raised_to",
    "until": "raised_until",
}
OWNER_HELP = "A team's or a user's id, or `gateway` for everybody together."

group = typer.Typer(no_args_is_help=True)

Owner = Annotated[str, typer.Argument(parser=argument(parse_id), metavar="OWNER", help=OWNER_HELP)]
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


def _print(limits: Sequence[Limit], *, as_json: bool) -> None:
    views = limits_view(tuple(limits))
    if as_json:
        print_json(views)
    else:
        rows = [{"raised_to": None, "raised_until": None, **view} for view in views]
        print_views(rows, COLUMNS, as_json=False)


def _check_set(*, limits: Sequence[Limit] | None, none: bool, **_: object) -> None:
    if none == bool(limits):
        raise typer.BadParameter("name the limits, or say --none and no limit.", param_hint="SPEC")


@group.command("show")
@store_command(_print)
async def show(gateway: "Gateway", owner: Owner = GATEWAY) -> tuple[Limit, ...]:
    """Show an owner's limits; by default those of the whole gateway."""
    return await gateway.limits.of(owner)


@group.command("set")
@store_command(_print, check=_check_set)
async def replace(
    gateway: "Gateway",
    owner: Owner,
    limits: Specs = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Remove all limits of the owner.")] = False,  # noqa: ARG001  see `_check_set`
) -> tuple[Limit, ...]:
    """Set an owner's limits to exactly these. Lower ones stop new jobs; running jobs continue."""
    await gateway.limits.replace(actor(), owner, limits or ())
    return await gateway.limits.of(owner)


@group.command("raise")
@store_command(_print)
async def raise_for(gateway: "Gateway", owner: Owner, limit: Spec, *, seconds: Seconds) -> tuple[Limit, ...]:
    """Raise a limit for a while; then the lower one applies again."""
    return (await gateway.limits.raise_for(actor(), owner, limit, seconds=seconds),)
