"""`filmgate keys`: create, show, rotate and revoke keys."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.api.admin_bodies import DAY_S, MAX_OVERLAP_S, TEN_YEARS_S
from app.cli.options import KeyId, OfTeam, OfUser, Rule
from app.cli.parse import actor, argument, duration, parse_id, parse_name
from app.cli.store_command import store_command
from app.cli.tables import print_json, print_view, print_views
from app.domain.accounts import USER_SCOPES, Scope
from app.domain.addresses import read_origin
from app.views.accounts import KeyView, key_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

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


Title = Annotated[
    str,
    typer.Argument(
        parser=argument(parse_name),
        metavar="NAME",
        help="Whose key it is: a person or a service. With --user, what the key is for.",
    ),
]
Holder = Annotated[
    str | None,
    typer.Option("--user", parser=argument(parse_id), metavar="ID", help="A further key of this user."),
]
Models = Annotated[list[str] | None, typer.Option("--model", help="The only model it may use. May be repeated.")]
Scopes = Annotated[
    list[Scope] | None, typer.Option("--scope", help="What it may do; by default jobs:write, jobs:read.")
]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        parser=argument(read_origin),
        metavar="ORIGIN",
        help="The only origin of web pages that may use it, such as https://app.example.com. May be repeated.",
    ),
]
Lifetime = Annotated[
    int | None,
    typer.Option(parser=argument(duration(1, TEN_YEARS_S)), metavar="TIME", help="When it ends: 3600, 12h, 30d."),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        parser=argument(duration(0, MAX_OVERLAP_S)),
        metavar="TIME",
        help="How long the old key stays valid: 0, 12h; 24h by default.",
    ),
]


def _print_once(view: Mapping[str, Any], *, as_json: bool) -> None:
    """The key alone, so that it can be piped, or everything about it as JSON."""
    if as_json:
        print_json(view)
    else:
        typer.echo(view["key"])


@group.command("create")
@store_command(_print_once)
async def create(
    gateway: "Gateway",
    name: Title,
    *,
    user: Holder = None,
    models: Models = None,
    scopes: Scopes = None,
    origins: Origins = None,
    expires_in: Lifetime = None,
    reposts: Rule = None,
) -> dict[str, Any]:
    """Make a user with a key, in the oldest team. The key is shown this once; Filmgate keeps only its SHA-256."""
    for model in models or ():
        gateway.catalog.get(model)  # before the user is made
    holder, key_name = (user, name) if user is not None else (await _new_user(gateway, name), "")
    made = await gateway.administration.add_key(
        actor(),
        user=holder,
        name=key_name,
        scopes=frozenset(scopes) if scopes else USER_SCOPES,
        models=models or None,
        origins=origins or None,
        expires_in_s=expires_in,
        reposts=reposts,
    )
    return {**key_view(made.record, None), "name": name, "key": made.key}


async def _new_user(gateway: "Gateway", name: str) -> str:
    """The id of a new user in the oldest team, which is made when there is none."""
    teams = await gateway.administration.teams()
    team = teams[0] if teams else await gateway.administration.add_team(actor(), name="default")
    return (await gateway.administration.add_user(actor(), team=team.id, name=name)).id


def _check_list(*, team: str | None, user: str | None) -> None:
    if team is not None and user is not None:
        raise typer.BadParameter("give one of them.", param_hint=["--team", "--user"])


@group.command("list")
@store_command(partial(print_views, columns=COLUMNS), check=_check_list)
async def list_keys(gateway: "Gateway", *, team: OfTeam = None, user: OfUser = None) -> list[KeyView]:
    """List the keys of everybody, a team or a user, revoked ones too."""
    return [key_view(*row) for row in await gateway.administration.keys(team=team, user=user)]


@group.command("show")
@store_command(print_view)
async def show(gateway: "Gateway", key_id: KeyId) -> KeyView:
    """Show the record of a key; the key itself is not kept."""
    return key_view(*await gateway.administration.key(key_id))


@group.command("rotate")
@store_command(_print_once)
async def rotate(gateway: "Gateway", key_id: KeyId, *, overlap: Overlap = None) -> dict[str, Any]:
    """Make a new key with the same rights; the old one ends after the overlap. The new one is shown this once."""
    overlap_s = DAY_S if overlap is None else overlap
    made = await gateway.administration.rotate_key(actor(), key_id, overlap_s=overlap_s)
    return {**key_view(made.record, None), "key": made.key}


@group.command("revoke")
@store_command(print_view)
async def revoke(gateway: "Gateway", key_id: KeyId) -> KeyView:
    """Revoke a key and the browser tokens made with it, everywhere within a second."""
    await gateway.administration.revoke_key(actor(), key_id)
    return key_view(*await gateway.administration.key(key_id))
