"""`filmgate teams`: list, show, create, change and delete teams."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.exits import Failure
from app.cli.options import Name, NewName, Rule, Specs, TeamId
from app.cli.parse import argument
from app.cli.tables import print_view, print_views
from app.domain.accounts import (
    AS_GATEWAY,
    MAX_RETENTION_DAYS,
    MAX_STORAGE_BYTES,
    MIN_RETENTION_DAYS,
    UNLIMITED,
)
from app.domain.limits import require_zone

MAX_WEIGHT = 100
MOST = {"gateway": MAX_RETENTION_DAYS, "unlimited": MAX_STORAGE_BYTES}
COLUMNS = {
    "name": "name",
    "team": "id",
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


def _print_team(view: View, *, as_json: bool) -> None:
    """A limit that a team does not have is said in words."""
    words = {"retention_days": "as FILMGATE_RETENTION_DAYS", "storage_bytes": "no limit"}
    said = {name: word for name, word in words.items() if view[name] is None}
    print_view(view if as_json else {**view, **said}, as_json=as_json)


@group.command("list")
@admin_command(partial(print_views, columns=COLUMNS, spare=("weight", "time zone", "created")))
async def list_teams(calls: AdminCalls) -> Sequence[View]:
    """List every team, the oldest first."""
    return await calls.teams()


@group.command("show")
@admin_command(_print_team)
async def show(calls: AdminCalls, team_id: TeamId) -> View:
    """Show one team with its limits."""
    return await calls.team(team_id)


@group.command("create")
@admin_command(_print_team)
async def create(
    calls: AdminCalls,
    name: Name,
    *,
    weight: Weight = 1,
    time_zone: Zone = None,
    reposts: Rule = None,
    retention_days: RetentionDays = None,
    storage_bytes: StorageBytes = None,
    limits: Specs = None,
) -> View:
    """Make a team, with its limits."""
    given = {"name": name, "weight": weight, "time_zone": time_zone, "reposts": reposts}
    return await calls.add_team({**given, **_bounds(retention_days, storage_bytes)}, limits or ())


def _bounds(retention_days: int | None, storage_bytes: int | None) -> dict[str, int | None]:
    return {"retention_days": retention_days, "storage_bytes": storage_bytes}


def _check_update(*, team_id: str, **given: object) -> None:  # noqa: ARG001  the one that is no change
    if all(value is None for value in given.values()):
        options = "--name, --weight, --time-zone, --reposts, --retention-days or --storage-bytes"
        raise typer.BadParameter(f"give {options}.", param_hint="options")


@group.command("update")
@admin_command(_print_team, check=_check_update)
async def update(
    calls: AdminCalls,
    team_id: TeamId,
    *,
    name: NewName = None,
    weight: Weight = None,
    time_zone: Zone = None,
    reposts: Rule = None,
    retention_days: RetentionDays = None,
    storage_bytes: StorageBytes = None,
) -> View:
    """Change a team. A new time zone begins new calendar periods."""
    given = {"name": name, "weight": weight, "time_zone": time_zone, "reposts": reposts}
    return await calls.change_team(team_id, {**given, **_bounds(retention_days, storage_bytes)})


def _confirm(*, team_id: str, yes: bool) -> None:
    """Ask the person at the terminal; wrong usage without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes.", param_hint="--yes")
    try:
        agreed = typer.confirm(f"Delete {team_id}, its users and their keys?", err=True)
    except typer.Abort:
        typer.echo("", err=True)  # the shell's prompt comes on a line of its own
        raise
    if not agreed:
        raise Failure("Nothing was deleted.")


@group.command("delete")
@admin_command(print_view, check=_confirm)
async def delete(
    calls: AdminCalls,
    team_id: TeamId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: ARG001  see `_confirm`
) -> dict[str, Any]:
    """Delete a team and its users, and revoke their keys; jobs, ledger and audit log stay."""
    await calls.remove_team(team_id)
    return {"id": team_id, "deleted": True}
