"""`filmgate keys`: give people keys, change them, take them away."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.api.admin_bodies import DAY_S, MAX_OVERLAP_S, TEN_YEARS_S
from app.cli.options import KeyId, OfTeam, OfUser
from app.cli.parse import actor, argument, duration, parse_id, parse_name
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_json, print_view, print_views
from app.domain.accounts import USER_SCOPES, Scope
from app.domain.addresses import read_origin
from app.gateway import Gateway
from app.services.administration import NewKey
from app.views.accounts import KeyView, key_view

COLUMNS = {
    "key": "id",
    "name": "name",
    "user": "user",
    "begins and ends": "shown_as",
    "scopes": "scopes",
    "expires": "expires_at",
    "revoked": "revoked_at",
    "last used": "last_used_at",
}

group = typer.Typer(no_args_is_help=True)


@group.command("create")
def create(
    name: Annotated[
        str,
        typer.Argument(
            parser=argument(parse_name),
            metavar="NAME",
            help="Whose key it is: a person or a service. With --user, what the key is for.",
        ),
    ],
    *,
    user: Annotated[
        str | None,
        typer.Option(parser=argument(parse_id), metavar="ID", help="Their further key; NAME is then the key's."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="The only model it may use. May be repeated.")
    ] = None,
    scopes: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What it may do; else jobs:write, jobs:read."),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--origin",
            parser=argument(read_origin),
            metavar="ORIGIN",
            help="The only web page's origin that may use it, such as https://app.example.com. May be repeated.",
        ),
    ] = None,
    expires_in: Annotated[
        int | None,
        typer.Option(
            parser=argument(duration(1, TEN_YEARS_S)), metavar="TIME", help="When it ends: 3600, 12h, 30d."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a user with a key, in the oldest team. The key is shown this once; Filmgate keeps only its SHA-256."""

    async def ask(gateway: Gateway) -> tuple[NewKey, KeyView]:
        for model in models or ():
            gateway.catalog.get(model)  # before a user is made for a key that cannot be
        holder, key_name = (user, name) if user is not None else (await _new_user(gateway, name), "")
        made = await gateway.administration.add_key(
            actor(),
            user=holder,
            name=key_name,
            scopes=frozenset(scopes) if scopes else USER_SCOPES,
            models=models or None,
            origins=origins or None,
            expires_in_s=expires_in,
        )
        return made, {**key_view(made.record, None), "name": name}

    _show_once(*with_gateway(ask), as_json=as_json)


async def _new_user(gateway: Gateway, name: str) -> str:
    """A new user's id, in the oldest team; the team is made with its first user."""
    teams = await gateway.administration.teams()
    team = teams[0] if teams else await gateway.administration.add_team(actor(), name="default")
    return (await gateway.administration.add_user(actor(), team=team.id, name=name)).id


@group.command("list")
def list_keys(*, team: OfTeam = None, user: OfUser = None, as_json: AsJson = False) -> None:
    """List every key, revoked ones too, or those of a team or a user."""
    if team is not None and user is not None:
        raise typer.BadParameter("give one of them.", param_hint=["--team", "--user"])

    async def ask(gateway: Gateway) -> list[KeyView]:
        return [key_view(*one) for one in await gateway.administration.keys(team=team, user=user)]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("show")
def show(key_id: KeyId, *, as_json: AsJson = False) -> None:
    """Show what is known of a key; the key itself is not kept."""

    async def ask(gateway: Gateway) -> KeyView:
        return key_view(*await gateway.administration.key(key_id))

    print_view(with_gateway(ask), as_json=as_json)


@group.command("rotate")
def rotate(
    key_id: KeyId,
    *,
    overlap: Annotated[
        int | None,
        typer.Option(
            parser=argument(duration(0, MAX_OVERLAP_S)),
            metavar="TIME",
            help="How long the old one still opens: 0, 12h; else 24h.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key with the same rights; the old one ends after the overlap. The new one is shown this once."""

    async def ask(gateway: Gateway) -> tuple[NewKey, KeyView]:
        made = await gateway.administration.rotate_key(
            actor(), key_id, overlap_s=DAY_S if overlap is None else overlap
        )
        return made, key_view(made.record, None)

    _show_once(*with_gateway(ask), as_json=as_json)


@group.command("revoke")
def revoke(key_id: KeyId, *, as_json: AsJson = False) -> None:
    """Close a key, and the browser tokens made with it, everywhere within a second."""

    async def ask(gateway: Gateway) -> KeyView:
        await gateway.administration.revoke_key(actor(), key_id)
        return key_view(*await gateway.administration.key(key_id))

    print_view(with_gateway(ask), as_json=as_json)


def _show_once(made: NewKey, view: Mapping[str, Any], *, as_json: bool) -> None:
    """The key alone, so that it can be piped, or everything about it as JSON."""
    if as_json:
        print_json({**view, "key": made.key})
    else:
        typer.echo(made.key)
