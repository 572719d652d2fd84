"""`filmgate jobs`: show jobs, decide held ones, release quarantined steps."""

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import JobId
from app.cli.parse import actor, argument, parse_request_id
from app.cli.store_command import store_command
from app.cli.tables import print_json, print_table, print_views
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.times import iso
from app.views.jobs import job_view
from app.views.operations import attempt_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

COLUMNS = {
    "job": "id",
    "status": "status",
    "model": "model",
    "held because": "held_reason",
    "quoted": "quoted_usd",
    "charged": "charged_usd",
    "created": "created_at",
}
HELD = {
    "job": "id",
    "held because": "held_reason",
    "quoted": "quoted_usd",
    "claimed": "claimed_at",
    "held since": "held_at",
    "team": "team",
}
SHOWN = COLUMNS | HELD

group = typer.Typer(no_args_is_help=True)


class Action(StrEnum):
    """The decision on a held job."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    FAIL = "fail"


Quarantined = Annotated[str, typer.Argument(metavar="ID", help="An id of `filmgate jobs aside`.")]
Decision = Annotated[Action, typer.Argument(help="adopt fal's request, resubmit (fal has nothing), or fail")]
RequestId = Annotated[
    str | None, typer.Option(parser=argument(parse_request_id), metavar="ID", help="fal's request id, for adopt.")
]
Charged = Annotated[bool | None, typer.Option("--charged/--no-charged", help="Did fal charge it? For fail.")]


async def _views(gateway: "Gateway", jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The jobs as their callers see them, with team and the tag of the submission at fal."""
    held_since = await gateway.operations.held_since(jobs)
    return [
        {
            **job_view(job, base_url=gateway.settings.base_url),
            "team": job.team,
            **attempt_view(job, held_since.get(job.id)),
        }
        for job in jobs
    ]


def _print_tags(views: Sequence[dict[str, Any]]) -> None:
    """The tags for a search in fal's dashboard; not in the table, which would cut them off."""
    for view in views:
        if view["fal_tag"] is not None:
            typer.echo(f"At fal: {view['model']}, with a tag that begins {view['fal_tag']}")


def _print_held(views: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    print_views(views, HELD, as_json=as_json)
    if not as_json:
        _print_tags(views)


@group.command("held")
@store_command(_print_held)
async def held(gateway: "Gateway") -> list[dict[str, Any]]:
    """List the jobs whose submission has an unknown outcome."""
    jobs = await gateway.stores.jobs.get_many(await gateway.stores.jobs.held())
    return await _views(gateway, [job for job in jobs if job is not None])


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


def _print_job(views: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(views)
    else:
        print_table(["", ""], [[title, views[0][field]] for title, field in SHOWN.items()])
        _print_tags(views)


@group.command("show")
@store_command(_print_job)
async def show(gateway: "Gateway", job_id: JobId) -> list[dict[str, Any]]:
    """Show one job of any team."""
    job = await gateway.stores.jobs.find(job_id)
    if job is None:
        raise Failure("There is no job with this id.")
    return await _views(gateway, [job])


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
@store_command(partial(print_views, columns=COLUMNS), check=_check_resolve)
async def resolve(
    gateway: "Gateway",
    job_id: JobId,
    action: Decision,
    *,
    upstream_request_id: RequestId = None,
    charged: Charged = None,
) -> list[dict[str, Any]]:
    """Decide a held job, or fail one whose step is quarantined.

    Look in fal's dashboard first (tag: `jobs show`): resubmit buys again.
    """
    job = await gateway.operations.resolve(
        actor(), job_id, action.value, upstream_request_id=upstream_request_id, charged=charged
    )
    return await _views(gateway, [job])
