"""`filmgate teams`: list, show, create, change and delete teams."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import Name, NewName, Rule, Specs, TeamId
from app.cli.parse import actor, argument
from app.cli.store_command import store_command
from app.cli.tables import print_view, print_views
from app.domain.accounts import (
    AS_GATEWAY,
    MAX_RETENTION_DAYS,
    MAX_STORAGE_BYTES,
    MIN_RETENTION_DAYS,
    UNLIMITED,
    Reposts,
    Team,
)
from app.domain.limits import require_zone
from app.views.accounts import TeamView, team_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

MAX_WEIGHT = 100
MOST = {"gateway": MAX_RETENTION_DAYS, "unlimited": MAX_STORAGE_BYTES}
COLUMNS = {
    "team": "id",
    "name": "name",
    "weight": "weight",
    "time zone": "time_zone",
    "limits": "limits",
    "created": "created_at",
}

group = typer.Typer(no_args_is_help=True)


def _number_or(word: str, meaning: int, text: str, *, least: int) -> int:
    if text == word:
        return meaning
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= MOST[word]:
        raise ValueError(f"this is a whole number from {least} to {MOST[word]}, or {word}")
    return int(text)


Weight = Annotated[
    int | None, typer.Option(min=1, max=MAX_WEIGHT, help="Its share when fal is busy, relative to other teams.")
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

RetentionDays = Annotated[
    int | None,
    typer.Option(
        "--retention-days",
        parser=argument(partial(_number_or, "gateway", AS_GATEWAY, least=MIN_RETENTION_DAYS)),
        metavar="DAYS|gateway",
        help="How long ended jobs, their clips and uploads are kept; `gateway`: as FILMGATE_RETENTION_DAYS says.",
    ),
]
StorageBytes = Annotated[
    int | None,
    typer.Option(
        "--storage-bytes",
        parser=argument(partial(_number_or, "unlimited", UNLIMITED, least=0)),
        metavar="BYTES|unlimited",
        help="How many bytes of clips and uploads the storage keeps for it.",
    ),
]


async def _view(gateway: "Gateway", team: Team) -> TeamView:
    return team_view(team, await gateway.limits.of(team.id))


@group.command("list")
@store_command(partial(print_views, columns=COLUMNS))
async def list_teams(gateway: "Gateway") -> list[TeamView]:
    """List every team, the oldest first."""
    teams = await gateway.administration.teams()
    limits = await gateway.limits.of_each([team.id for team in teams])
    return [team_view(team, limits[team.id]) for team in teams]


@group.command("show")
@store_command(print_view)
async def show(gateway: "Gateway", team_id: TeamId) -> TeamView:
    """Show one team with its limits."""
    return await _view(gateway, await gateway.administration.team(team_id))


@group.command("create")
@store_command(print_view)
async def create(
    gateway: "Gateway",
    name: Name,
    *,
    weight: Weight = 1,
    time_zone: Zone = None,
    reposts: Rule = None,
    retention_days: RetentionDays = None,
    storage_bytes: StorageBytes = None,
    limits: Specs = None,
) -> TeamView:
    """Make a team, with its limits."""
    team = await gateway.administration.add_team(
        actor(),
        name=name,
        weight=weight or 1,
        time_zone=time_zone or "UTC",
        reposts=reposts or Reposts.ANSWERED,
        retention_days=retention_days,
        storage_bytes=storage_bytes,
        limits=limits or (),
    )
    return await _view(gateway, team)


def _check_update(*, team_id: str, **given: object) -> None:  # noqa: ARG001  the one that is no change
    if all(value is None for value in given.values()):
        options = "--name, --weight, --time-zone, --reposts, --retention-days or --storage-bytes"
        raise typer.BadParameter(f"give {options}.", param_hint="options")


@group.command("update")
@store_command(print_view, check=_check_update)
async def update(
    gateway: "Gateway",
    team_id: TeamId,
    *,
    name: NewName = None,
    weight: Weight = None,
    time_zone: Zone = None,
    reposts: Rule = None,
    retention_days: RetentionDays = None,
    storage_bytes: StorageBytes = None,
) -> TeamView:
    """Change a team. A new time zone begins new calendar periods."""
    team = await gateway.administration.change_team(
        actor(),
        team_id,
        name=name,
        weight=weight,
        time_zone=time_zone,
        reposts=reposts,
        retention_days=retention_days,
        storage_bytes=storage_bytes,
    )
    return await _view(gateway, team)


def _confirm(*, team_id: str, yes: bool) -> None:
    """Ask the person at the terminal; wrong usage without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes.", param_hint="--yes")
    if not typer.confirm(f"Delete {team_id}, its users and their keys?", err=True):
        raise Failure("Nothing was deleted.")


@group.command("delete")
@store_command(print_view, check=_confirm)
async def delete(
    gateway: "Gateway",
    team_id: TeamId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: ARG001  see `_confirm`
) -> dict[str, Any]:
    """Delete a team and its users, and revoke their keys; jobs, ledger and audit log stay."""
    await gateway.administration.remove_team(actor(), team_id)
    return {"id": team_id, "deleted": True}
