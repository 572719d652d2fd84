"""`filmgate limits`: how much of what, in which window, for whom."""

from typing import Annotated

import typer

from app.api.admin_bodies import LONGEST_RAISE_S
from app.cli.options import distinct_limits
from app.cli.parse import SPEC_HELP, actor, argument, duration, parse_id, parse_limit
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_json, print_views
from app.domain.limits import GATEWAY, Limit
from app.gateway import Gateway
from app.views.limits import limits_view

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


@group.command("show")
def show(owner: Owner = GATEWAY, *, as_json: AsJson = False) -> None:
    """Show what was set for an owner; without one, for the whole gateway."""

    async def ask(gateway: Gateway) -> tuple[Limit, ...]:
        return await gateway.limits.of(owner)

    _show(with_gateway(ask), as_json=as_json)


@group.command("set")
def replace(
    owner: Owner,
    limits: Annotated[
        list[Limit] | None,
        typer.Argument(parser=argument(parse_limit), metavar="SPEC", help=SPEC_HELP, show_default=False),
    ] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Take all of the owner's limits away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set an owner's limits to exactly these. Lower ones stop new jobs; what runs goes on."""
    chosen = distinct_limits(limits)
    if none == bool(chosen):
        raise typer.BadParameter("name the limits, or say --none and no limit.", param_hint="SPEC")

    async def ask(gateway: Gateway) -> tuple[Limit, ...]:
        await gateway.limits.replace(actor(), owner, chosen)
        return await gateway.limits.of(owner)

    _show(with_gateway(ask), as_json=as_json)


@group.command("raise")
def raise_for(
    owner: Owner,
    limit: Annotated[
        Limit,
        typer.Argument(parser=argument(parse_limit), metavar="SPEC", help=f"Above one that is set. {SPEC_HELP}"),
    ],
    *,
    seconds: Annotated[
        int,
        typer.Option(
            "--for",
            parser=argument(duration(60, LONGEST_RAISE_S)),
            metavar="TIME",
            help="How long: 15m, 2h.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Raise a limit for a while; then the one that is set holds again."""

    async def ask(gateway: Gateway) -> tuple[Limit, ...]:
        return (await gateway.limits.raise_for(actor(), owner, limit, seconds=seconds),)

    _show(with_gateway(ask), as_json=as_json)


def _show(limits: tuple[Limit, ...], *, as_json: bool) -> None:
    views = limits_view(limits)
    if as_json:
        print_json(views)
    else:
        rows = [{"raised_to": None, "raised_until": None, **view} for view in views]
        print_views(rows, COLUMNS, as_json=False)
