"""`filmgate users`: the people and services of a team."""

from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import Name, OfTeam, Specs, UserId, distinct_limits
from app.cli.parse import actor, argument, parse_id, parse_name
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_view, print_views
from app.domain.accounts import User
from app.gateway import Gateway
from app.views.accounts import UserView, user_view

COLUMNS = {"user": "id", "team": "team", "name": "name", "limits": "limits", "created": "created_at"}
MAX_TEAMS_NAMED = 5

group = typer.Typer(no_args_is_help=True)


async def _viewed(gateway: Gateway, user: User) -> UserView:
    return user_view(user, await gateway.limits.of(user.id))


@group.command("list")
def list_users(*, team: OfTeam = None, as_json: AsJson = False) -> None:
    """List the users of every team, or of one."""

    async def ask(gateway: Gateway) -> list[UserView]:
        users = await gateway.administration.users(team)
        limits = await gateway.limits.of_each([user.id for user in users])
        return [user_view(user, limits[user.id]) for user in users]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("show")
def show(user_id: UserId, *, as_json: AsJson = False) -> None:
    """Show one user with the limits."""

    async def ask(gateway: Gateway) -> UserView:
        return await _viewed(gateway, await gateway.administration.user(user_id))

    print_view(with_gateway(ask), as_json=as_json)


@group.command("create")
def create(
    name: Name,
    *,
    team: Annotated[
        str | None,
        typer.Option(parser=argument(parse_id), metavar="ID", help="Their team; needed when there are several."),
    ] = None,
    limits: Specs = None,
    as_json: AsJson = False,
) -> None:
    """Make a user of a team, with limits of their own; `filmgate keys create` gives them a key."""
    chosen = distinct_limits(limits)

    async def ask(gateway: Gateway) -> UserView:
        team_id = team or await _only_team(gateway)
        user = await gateway.administration.add_user(actor(), team=team_id, name=name, limits=chosen)
        return await _viewed(gateway, user)

    print_view(with_gateway(ask), as_json=as_json)


@group.command("update")
def update(
    user_id: UserId,
    *,
    name: Annotated[str, typer.Option(parser=argument(parse_name), metavar="NAME", help="Another name.")],
    as_json: AsJson = False,
) -> None:
    """Give a user another name."""

    async def ask(gateway: Gateway) -> UserView:
        return await _viewed(gateway, await gateway.administration.change_user(actor(), user_id, name=name))

    print_view(with_gateway(ask), as_json=as_json)


@group.command("delete")
def delete(user_id: UserId, *, as_json: AsJson = False) -> None:
    """Delete a user and revoke the keys; jobs, ledger and audit log stay."""

    async def ask(gateway: Gateway) -> dict[str, Any]:
        await gateway.administration.remove_user(actor(), user_id)
        return {"id": user_id, "deleted": True}

    print_view(with_gateway(ask), as_json=as_json)


async def _only_team(gateway: Gateway) -> str:
    """The team that can be meant when none is named."""
    teams = await gateway.administration.teams()
    if not teams:
        raise Failure("There is no team yet: make one with `filmgate teams create NAME`.")
    if len(teams) > 1:
        named = ", ".join(team.id for team in teams[:MAX_TEAMS_NAMED])
        more = f" and {len(teams) - MAX_TEAMS_NAMED} more" if len(teams) > MAX_TEAMS_NAMED else ""
        raise Failure(f"There are several teams: say --team with one of {named}{more}.")
    return teams[0].id
