"""`filmgate teams`: who pays together."""

import sys
from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import Name, NewName, Specs, TeamId, distinct_limits
from app.cli.parse import actor, argument
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_view, print_views
from app.domain.accounts import Team
from app.domain.limits import require_zone
from app.gateway import Gateway
from app.views.accounts import TeamView, team_view

MAX_WEIGHT = 100
COLUMNS = {
    "team": "id",
    "name": "name",
    "weight": "weight",
    "time zone": "time_zone",
    "limits": "limits",
    "created": "created_at",
}

group = typer.Typer(no_args_is_help=True)

Weight = Annotated[
    int | None, typer.Option(min=1, max=MAX_WEIGHT, help="Its share when fal is busy, beside the others'.")
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--time-zone",
        parser=argument(require_zone),
        metavar="ZONE",
        help="Where its days and months begin, such as Europe/Berlin.",
    ),
]


async def _viewed(gateway: Gateway, team: Team) -> TeamView:
    return team_view(team, await gateway.limits.of(team.id))


@group.command("list")
def list_teams(*, as_json: AsJson = False) -> None:
    """List every team, the oldest first."""

    async def ask(gateway: Gateway) -> list[TeamView]:
        teams = await gateway.administration.teams()
        limits = await gateway.limits.of_each([team.id for team in teams])
        return [team_view(team, limits[team.id]) for team in teams]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("show")
def show(team_id: TeamId, *, as_json: AsJson = False) -> None:
    """Show one team with its limits."""

    async def ask(gateway: Gateway) -> TeamView:
        return await _viewed(gateway, await gateway.administration.team(team_id))

    print_view(with_gateway(ask), as_json=as_json)


@group.command("create")
def create(
    name: Name, *, weight: Weight = 1, time_zone: Zone = None, limits: Specs = None, as_json: AsJson = False
) -> None:
    """Make a team, with its limits."""
    chosen = distinct_limits(limits)

    async def ask(gateway: Gateway) -> TeamView:
        team = await gateway.administration.add_team(
            actor(), name=name, weight=weight or 1, time_zone=time_zone or "UTC", limits=chosen
        )
        return await _viewed(gateway, team)

    print_view(with_gateway(ask), as_json=as_json)


@group.command("update")
def update(
    team_id: TeamId,
    *,
    name: NewName = None,
    weight: Weight = None,
    time_zone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given. A new time zone begins new calendar periods."""
    if name is None and weight is None and time_zone is None:
        raise typer.BadParameter("give --name, --weight or --time-zone.", param_hint="options")

    async def ask(gateway: Gateway) -> TeamView:
        team = await gateway.administration.change_team(
            actor(), team_id, name=name, weight=weight, time_zone=time_zone
        )
        return await _viewed(gateway, team)

    print_view(with_gateway(ask), as_json=as_json)


@group.command("delete")
def delete(
    team_id: TeamId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a team: its users go, its keys are revoked; jobs, ledger and audit log stay."""
    if not yes:
        _confirm(team_id)

    async def ask(gateway: Gateway) -> dict[str, Any]:
        await gateway.administration.remove_team(actor(), team_id)
        return {"id": team_id, "deleted": True}

    print_view(with_gateway(ask), as_json=as_json)


def _confirm(team_id: str) -> None:
    """Ask whoever sits there; wrong usage when nobody does."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes.", param_hint="--yes")
    if not typer.confirm(f"Delete {team_id}, its users and their keys?", err=True):
        raise Failure("Nothing was deleted.")
