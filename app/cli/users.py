"""`filmgate users`: list, show, create, rename, invite and delete the users of a team."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.invitations import invite
from app.cli.options import Name, OfTeam, Specs, UserId
from app.cli.parse import actor, argument, parse_id, parse_name
from app.cli.store_command import store_command
from app.cli.tables import print_view, print_views
from app.domain.accounts import User
from app.views.accounts import UserView, user_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

COLUMNS = {"user": "id", "team": "team", "name": "name", "limits": "limits", "created": "created_at"}
MAX_TEAMS_NAMED = 5

group = typer.Typer(no_args_is_help=True)
group.command("invite")(invite)

Team = Annotated[
    str | None,
    typer.Option(parser=argument(parse_id), metavar="ID", help="Their team; needed when there are several."),
]
NewName = Annotated[str, typer.Option("--name", parser=argument(parse_name), metavar="NAME", help="The new name.")]


async def _view(gateway: "Gateway", user: User) -> UserView:
    return user_view(user, await gateway.limits.of(user.id))


@group.command("list")
@store_command(partial(print_views, columns=COLUMNS))
async def list_users(gateway: "Gateway", *, team: OfTeam = None) -> list[UserView]:
    """List the users of every team, or of one."""
    users = await gateway.administration.users(team)
    limits = await gateway.limits.of_each([user.id for user in users])
    return [user_view(user, limits[user.id]) for user in users]


@group.command("show")
@store_command(print_view)
async def show(gateway: "Gateway", user_id: UserId) -> UserView:
    """Show one user with the limits."""
    return await _view(gateway, await gateway.administration.user(user_id))


@group.command("create")
@store_command(print_view)
async def create(gateway: "Gateway", name: Name, *, team: Team = None, limits: Specs = None) -> UserView:
    """Make a user of a team, with limits of their own; `filmgate keys create` gives them a key."""
    team_id = team or await _only_team(gateway)
    user = await gateway.administration.add_user(actor(), team=team_id, name=name, limits=limits or ())
    return await _view(gateway, user)


@group.command("update")
@store_command(print_view)
async def update(gateway: "Gateway", user_id: UserId, *, name: NewName) -> UserView:
    """Rename a user."""
    return await _view(gateway, await gateway.administration.change_user(actor(), user_id, name=name))


@group.command("delete")
@store_command(print_view)
async def delete(gateway: "Gateway", user_id: UserId) -> dict[str, Any]:
    """Delete a user and revoke the keys; jobs, ledger and audit log stay."""
    await gateway.administration.remove_user(actor(), user_id)
    return {"id": user_id, "deleted": True}


async def _only_team(gateway: "Gateway") -> str:
    """The id of the only team. Failure when there is none, or more than one."""
    teams = await gateway.administration.teams()
    if not teams:
        raise Failure("There is no team yet: make one with `filmgate teams create NAME`.")
    if len(teams) > 1:
        named = ", ".join(team.id for team in teams[:MAX_TEAMS_NAMED])
        more = f" and {len(teams) - MAX_TEAMS_NAMED} more" if len(teams) > MAX_TEAMS_NAMED else ""
        raise Failure(f"There are several teams: say --team with one of {named}{more}.")
    return teams[0].id
