"""`filmgate keys`: create, show, rotate and revoke keys."""

import sys
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from app.api.admin_bodies import DAY_S, MAX_OVERLAP_S, TEN_YEARS_S
from app.cli.admin_calls import AdminCalls, View, names_of_owners
from app.cli.admin_command import admin_command
from app.cli.options import OWNER_HELP, SCOPES_HELP, KeyId, OfTeam, OfUser, Rule
from app.cli.parse import argument, duration, parse_name
from app.cli.tables import Columns, Named, print_json, print_view, print_views
from app.domain.accounts import Scope
from app.domain.addresses import read_origin


def _state(view: Mapping[str, Any]) -> str:
    """Active, revoked or expired, by this machine's clock."""
    if view["revoked_at"] is not None:
        return "revoked"
    ends = view["expires_at"]
    return "expired" if ends is not None and datetime.fromisoformat(ends).timestamp() <= time.time() else "active"


COLUMNS: Columns = {
    "user": "user.name",
    "team": "team.name",
    "name": "name",
    "key": "id",
    "state": _state,
    "last used": "last_used_at",
    "begins and ends": "shown_as",
    "expires": "expires_at",
    "scopes": "scopes",
}

SPARE = ("team", "begins and ends", "expires", "scopes")

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
    typer.Option(
        "--user",
        parser=argument(parse_name),
        metavar="USER",
        help=f"A further key of this user: their {OWNER_HELP}.",
    ),
]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="MODEL", help="The only model it may use. May be repeated.")
]
Scopes = Annotated[list[Scope] | None, typer.Option("--scope", metavar="SCOPE", help=SCOPES_HELP)]
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
        return
    typer.echo(view["key"])
    if sys.stdout.isatty():
        typer.echo(f"Shown this once. Its id is {view['id']}, its user is {view['user']}.", err=True)


@group.command("create")
@admin_command(_print_once)
async def create(
    calls: AdminCalls,
    name: Title,
    *,
    user: Holder = None,
    models: Models = None,
    scopes: Scopes = None,
    origins: Origins = None,
    expires_in: Lifetime = None,
    reposts: Rule = None,
) -> View:
    """Make a user with a key, in the oldest team. The key is shown this once; Filmgate keeps only its SHA-256.

    Example: `filmgate keys create laptop --user Ada --expires-in 90d`
    """
    await calls.require_models(models or ())  # before the user is made
    holder, key_name = (user, name) if user is not None else (await _new_user(calls, name), None)
    given = {"name": key_name, "scopes": scopes or None, "models": models or None, "origins": origins or None}
    made = await calls.add_key(holder, {**given, "expires_in": expires_in, "reposts": reposts})
    return {**made, "name": name}


async def _new_user(calls: AdminCalls, name: str) -> str:
    """The id of a new user in the oldest team, which is made when there is none."""
    teams = await calls.teams()
    team = teams[0] if teams else await calls.add_team({"name": "default"}, ())
    return str((await calls.add_user(team["id"], name, ()))["id"])


def _check_list(*, team: str | None, user: str | None) -> None:
    if team is not None and user is not None:
        raise typer.BadParameter("give one of them.", param_hint=["--team", "--user"])


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=SPARE), check=_check_list)
async def list_keys(calls: AdminCalls, *, team: OfTeam = None, user: OfUser = None) -> Named:
    """List the keys of everybody, a team or a user, revoked ones too."""
    found = await calls.keys(team=team, user=user)
    return Named(found, await names_of_owners(calls))


@group.command("show")
@admin_command(print_view)
async def show(calls: AdminCalls, key_id: KeyId) -> Named:
    """Show the record of a key; the key itself is not kept."""
    return Named([await calls.key(key_id)], await names_of_owners(calls))


@group.command("rotate")
@admin_command(_print_once)
async def rotate(calls: AdminCalls, key_id: KeyId, *, overlap: Overlap = None) -> View:
    """Make a new key with the same rights; the old one ends after the overlap. The new one is shown this once."""
    return await calls.rotate_key(key_id, overlap_s=DAY_S if overlap is None else overlap)


@group.command("revoke")
@admin_command(print_view)
async def revoke(calls: AdminCalls, key_id: KeyId) -> View:
    """Revoke a key and the browser tokens made with it, everywhere within a second."""
    await calls.revoke_key(key_id)
    return await calls.key(key_id)
