"""`filmgate users`: list, show, create, rename, invite and delete the users of a team."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.exits import Failure
from app.cli.invitations import invite
from app.cli.options import OWNER_HELP, Name, OfTeam, Specs, UserId
from app.cli.parse import argument, parse_name
from app.cli.tables import Named, print_json, print_lines, print_view, print_views
from app.domain.counting import first_of

COLUMNS = {"name": "name", "team": "team.name", "user": "id", "limits": "limits", "created": "created_at"}
MAX_TEAMS_NAMED = 5

group = typer.Typer(no_args_is_help=True)
group.command("invite")(invite)

Team = Annotated[
    str | None,
    typer.Option(
        parser=argument(parse_name),
        metavar="TEAM",
        help=f"Their team's {OWNER_HELP}; needed when there are several.",
    ),
]
NewName = Annotated[str, typer.Option("--name", parser=argument(parse_name), metavar="NAME", help="The new name.")]
WithKey = Annotated[bool, typer.Option("--key", help="Make a key too; it is shown this once.")]


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=("created",)))
async def list_users(calls: AdminCalls, *, team: OfTeam = None) -> Named:
    """List the users of every team, or of one."""
    users = await calls.users(team)
    return Named(users, {one["id"]: one["name"] for one in await calls.teams()})


@group.command("show")
@admin_command(print_view)
async def show(calls: AdminCalls, user_id: UserId) -> Named:
    """Show one user with the limits."""
    user = await calls.user(user_id)
    return Named([user], {user["team"]: (await calls.team(user["team"]))["name"]})


def _print_new(view: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    elif "key" in view:
        shown = {"user": f"{view['name']}, {view['id']}", "limits": view["limits"] or "none of their own"}
        print_lines({**shown, "key": view["key"]})
        typer.echo("The key is shown this once; Filmgate keeps only its SHA-256.", err=True)
    else:
        print_view(view, as_json=False)


@group.command("create")
@admin_command(_print_new)
async def create(
    calls: AdminCalls, name: Name, *, team: Team = None, limits: Specs = None, key: WithKey = False
) -> View:
    """Make a user of a team, with limits of their own, and with --key their key.

    Example: `filmgate users create Ada --limit usd/month=50 --key`
    """
    user = await calls.add_user(team or await _only_team(calls), name, limits or ())
    if not key:
        return user
    made = await calls.add_key(user["id"], {})
    return {**user, "key_id": made["id"], "key": made["key"]}


@group.command("update")
@admin_command(print_view)
async def update(calls: AdminCalls, user_id: UserId, *, name: NewName) -> View:
    """Rename a user."""
    return await calls.change_user(user_id, name)


@group.command("delete")
@admin_command(print_view)
async def delete(calls: AdminCalls, user_id: UserId) -> dict[str, Any]:
    """Delete a user and revoke the keys; jobs, ledger and audit log stay."""
    await calls.remove_user(user_id)
    return {"id": user_id, "deleted": True}


async def _only_team(calls: AdminCalls) -> str:
    """The id of the only team. Failure when there is none, or more than one."""
    teams: Sequence[View] = await calls.teams()
    if not teams:
        raise Failure("There is no team yet: make one with `filmgate teams create NAME`.")
    if len(teams) > 1:
        named = first_of([f"{team['name']} ({team['id']})" for team in teams], MAX_TEAMS_NAMED)
        raise Failure(f"There are several teams: say --team with one of {named}.")
    return str(teams[0]["id"])
