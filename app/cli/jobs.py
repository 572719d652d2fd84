"""`filmgate jobs`: show jobs, cancel them, decide held ones, release quarantined steps."""

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.exits import Failure
from app.cli.options import JobId, JobIds, OfTeam, OfUser, Rows
from app.cli.parse import actor, argument, parse_request_id
from app.cli.store_command import store_command
from app.cli.tables import Columns, print_json, print_lines, print_views
from app.cli.whole_ids import SEARCHED_JOBS
from app.domain.ids import split_ref
from app.domain.jobs import Status
from app.domain.times import iso

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

LISTED: Columns = {
    "user": "user_name",
    "team": "team_name",
    "model": "model",
    "status": "status",
    "dollars": lambda view: view["quoted_usd"] if view["charged_usd"] is None else view["charged_usd"],
    "created": "created_at",
    "job": "id",
}
RESOLVED = {
    "job": "id",
    "status": "status",
    "model": "model",
    "held because": "held_reason",
    "quoted": "quoted_usd",
    "charged": "charged_usd",
    "created": "created_at",
}
CANCELED = {
    "job": "id",
    "status": "status",
    "model": "model",
    "quoted": "quoted_usd",
    "charged": "charged_usd",
    "cancel asked": "cancel_requested_at",
    "created": "created_at",
}
HELD = {
    "user": "user_name",
    "job": "id",
    "held since": "held_at",
    "quoted": "quoted_usd",
    "held because": "held_reason",
    "team": "team_name",
    "claimed": "claimed_at",
}

group = typer.Typer(no_args_is_help=True)


class Action(StrEnum):
    """The decision on a held job."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    FAIL = "fail"


Quarantined = Annotated[str, typer.Argument(metavar="ID", help="An id of `filmgate jobs aside`.")]
Decision = Annotated[
    Action, typer.Argument(metavar="ACTION", help="Adopt fal's request, resubmit (fal has nothing), or fail.")
]
RequestId = Annotated[
    str | None, typer.Option(parser=argument(parse_request_id), metavar="ID", help="fal's request id, for adopt.")
]
OfStatus = Annotated[
    Status | None, typer.Option("--status", metavar="STATUS", help=f"In this state only: {', '.join(Status)}.")
]
Charged = Annotated[bool | None, typer.Option("--charged/--no-charged", help="Did fal charge it? For fail.")]


def _print_tags(views: Sequence[View]) -> None:
    """The tags for a search in fal's dashboard; not in the table, which would cut them off."""
    for view in views:
        if view["fal_tag"] is not None:
            typer.echo(f"At fal: {view['model']}, with a tag that begins {view['fal_tag']}")


def _print_held(views: Sequence[View], *, as_json: bool) -> None:
    print_views(views, HELD, as_json=as_json, spare=("claimed", "team"))
    if not as_json:
        _print_tags(views)


@group.command("list")
@admin_command(partial(print_views, columns=LISTED, spare=("team",)))
async def list_jobs(
    calls: AdminCalls, *, status: OfStatus = None, team: OfTeam = None, user: OfUser = None, limit: Rows = 20
) -> Sequence[View]:
    """List the jobs of every team, of one or of one user, the newest first."""
    return await calls.jobs(status=status, team=team, user=user, count=limit)


@group.command("held")
@admin_command(_print_held)
async def held(calls: AdminCalls) -> Sequence[View]:
    """List the jobs whose submission has an unknown outcome."""
    return await calls.jobs(status=Status.HELD, team=None, count=SEARCHED_JOBS)


@group.command("aside")
@store_command(partial(print_views, columns={"step": "step", "id": "id", "since": "since"}))
async def aside(gateway: "Gateway") -> list[dict[str, Any]]:
    """List the quarantined steps, which failed or crashed their workers; their money stays reserved."""
    rows = await gateway.operations.quarantined()
    return [{"step": step, "id": split_ref(ref)[1], "since": iso(at_ms)} for step, ref, at_ms in rows]


def _print_released(views: Sequence[dict[str, str]], *, as_json: bool) -> None:
    if as_json:
        print_json(views)
    else:
        typer.echo(f"{views[0]['id']} goes on: {', '.join(view['step'] for view in views)}.")


@group.command("release")
@store_command(_print_released)
async def release(gateway: "Gateway", name: Quarantined) -> list[dict[str, str]]:
    """Release a step from quarantine, when its cause is fixed."""
    return [{"step": step, "id": name} for step, _ in await gateway.operations.release(actor(), name)]


def _print_job(views: Sequence[View], *, as_json: bool) -> None:
    if as_json:
        print_json(views)
    else:
        print_lines({title: value for title, value in _lines(views[0]).items() if value is not None})
        _print_tags(views)


def _lines(view: View) -> dict[str, Any]:
    """The job in the order of its life; None where a line does not apply."""
    error = view["error"]
    return {
        "job": view["id"],
        "status": view["status"],
        "model": view["model"],
        "user": f"{view['user_name']}, {view['user']}",
        "team": f"{view['team_name']}, {view['team']}",
        "quoted": view["quoted_usd"],
        "charged": view["charged_usd"],
        "created": view["created_at"],
        "claimed": view["claimed_at"],
        "submitted": view["submitted_at"],
        "completed": view["completed_at"],
        "request at fal": view["upstream_request_id"],
        "held since": view["held_at"],
        "held because": view["held_reason"],
        "failed because": None if error is None else f"{error['message']} ({error['code']})",
        "fal's reason": None if error is None else (error.get("upstream") or {}).get("detail"),
    }


@group.command("show")
@admin_command(_print_job)
async def show(calls: AdminCalls, job_id: JobId) -> Sequence[View]:
    """Show one job of any team."""
    return [await calls.job(job_id)]


def _print_canceled(found: tuple[Sequence[View], Sequence[str]], *, as_json: bool) -> None:
    """The jobs that were cancelled; then a Failure that names those which had ended before."""
    views, ended = found
    if views:
        print_views(views, CANCELED, as_json=as_json, spare=("model", "created"))
    if ended:
        raise Failure(f"{', '.join(ended)} {'has' if len(ended) == 1 else 'have'} already ended.")


@group.command("cancel")
@admin_command(_print_canceled)
async def cancel(calls: AdminCalls, job_ids: JobIds) -> tuple[Sequence[View], Sequence[str]]:
    """Cancel jobs of any team.

    A queued one ends at once and costs nothing; of one that runs fal decides; a held one waits for `jobs resolve`.
    With an unknown id among them nothing is cancelled.

    Example: `filmgate jobs cancel job_5f0c1a2b job_91d3e4f7`
    """
    wanted = dict.fromkeys(job_ids)
    for job_id in wanted:
        await calls.job(job_id)
    found = {job_id: await calls.cancel(job_id) for job_id in wanted}
    views = [view for view in found.values() if view is not None]
    return views, [job_id for job_id, view in found.items() if view is None]


def _check_resolve(*, action: Action, upstream_request_id: str | None, charged: bool | None, **_: object) -> None:
    """Each action has exactly its own option; wrong usage otherwise, which names it."""
    for option, value, wanted in (
        ("--upstream-request-id", upstream_request_id, Action.ADOPT),
        ("--charged/--no-charged", charged, Action.FAIL),
    ):
        if action is wanted and value is None:
            raise typer.BadParameter(f"{action} needs it.", param_hint=option)
        if action is not wanted and value is not None:
            raise typer.BadParameter(f"it is for {wanted}, not for {action}.", param_hint=option)


@group.command("resolve")
@admin_command(partial(print_views, columns=RESOLVED, spare=("model", "created")), check=_check_resolve)
async def resolve(
    calls: AdminCalls,
    job_id: JobId,
    action: Decision,
    *,
    upstream_request_id: RequestId = None,
    charged: Charged = None,
) -> Sequence[View]:
    """Decide a held job, or fail one whose step is quarantined.

    Look in fal's dashboard first (tag: `jobs show`): resubmit buys again.

    Example: `filmgate jobs resolve job_5f0c1a2b fail --no-charged`
    """
    given = {"upstream_request_id": upstream_request_id, "charged": charged}
    return [await calls.resolve(job_id, action.value, given)]
