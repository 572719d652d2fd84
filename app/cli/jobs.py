"""`filmgate jobs`: look at jobs, and end held ones."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import JobId
from app.cli.parse import actor, argument, parse_request_id
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_json, print_table, print_views
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.times import iso
from app.gateway import Gateway
from app.views.jobs import job_view
from app.views.operations import attempt_view

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
    """How a held job goes on."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    FAIL = "fail"


async def _viewed(gateway: Gateway, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The jobs as their callers see them, with what finds their submissions at fal."""
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
    """What to look for in fal's dashboard; no table, which would cut it off on a narrow screen."""
    for view in views:
        if view["fal_tag"] is not None:
            typer.echo(f"At fal: {view['model']}, with a tag that begins {view['fal_tag']}")


@group.command("held")
def held(*, as_json: AsJson = False) -> None:
    """List the jobs whose submission has an unknown outcome."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        jobs = await gateway.stores.jobs.get_many(await gateway.stores.jobs.held())
        return await _viewed(gateway, [job for job in jobs if job is not None])

    found = with_gateway(ask)
    print_views(found, HELD, as_json=as_json)
    if not as_json:
        _print_tags(found)


@group.command("aside")
def aside(*, as_json: AsJson = False) -> None:
    """List the steps that were set aside, because they failed or their workers died; their money stays put."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        rows = await gateway.operations.quarantined()
        return [{"step": step, "id": split_ref(ref)[1], "since": iso(at_ms)} for step, ref, at_ms in rows]

    print_views(with_gateway(ask), {"step": "step", "id": "id", "since": "since"}, as_json=as_json)


@group.command("release")
def release(
    name: Annotated[str, typer.Argument(metavar="ID", help="as `filmgate jobs aside` lists it")],
    *,
    as_json: AsJson = False,
) -> None:
    """Let a step that was set aside go on, when its cause is mended."""

    async def ask(gateway: Gateway) -> list[str]:
        return [step for step, _ in await gateway.operations.release(actor(), name)]

    steps = with_gateway(ask)
    if as_json:
        print_json([{"step": step, "id": name} for step in steps])
    else:
        typer.echo(f"{name} goes on: {', '.join(steps)}.")


@group.command("show")
def show(
    job_id: JobId,
    *,
    as_json: AsJson = False,
) -> None:
    """Show one job of any team."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        job = await gateway.stores.jobs.find(job_id)
        return [] if job is None else await _viewed(gateway, [job])

    found = with_gateway(ask)
    if not found:
        raise Failure("There is no job with this id.")
    if as_json:
        print_json(found)
    else:
        print_table(["", ""], [[title, found[0][field]] for title, field in SHOWN.items()])
        _print_tags(found)


@group.command("resolve")
def resolve(
    job_id: JobId,
    action: Annotated[Action, typer.Argument(help="adopt fal's request, resubmit (fal has nothing), or fail")],
    *,
    upstream_request_id: Annotated[
        str | None,
        typer.Option(parser=argument(parse_request_id), metavar="ID", help="fal's request id, for adopt"),
    ] = None,
    charged: Annotated[bool | None, typer.Option(help="Did fal charge it? For fail.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide a job that is held, or fail one that was set aside.

    Look in fal's dashboard first (tag: `jobs show`): resubmit buys again.
    """
    _one_form(action, upstream_request_id, charged)

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        job = await gateway.operations.resolve(
            actor(), job_id, action.value, upstream_request_id=upstream_request_id, charged=charged
        )
        return await _viewed(gateway, [job])

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


def _one_form(action: Action, upstream_request_id: str | None, charged: bool | None) -> None:  # noqa: FBT001  as typer gives it
    """Each action has exactly its own option; wrong usage otherwise, which names it."""
    for option, value, wanted in (
        ("--upstream-request-id", upstream_request_id, Action.ADOPT),
        ("--charged/--no-charged", charged, Action.FAIL),
    ):
        if action is wanted and value is None:
            raise typer.BadParameter(f"{action} needs it.", param_hint=option)
        if action is not wanted and value is not None:
            raise typer.BadParameter(f"it is for {wanted}, not for {action}.", param_hint=option)
