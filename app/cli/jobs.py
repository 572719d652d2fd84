"""`filmgate jobs`: look at jobs, and end held ones."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.options import JobId
from app.cli.parse import actor
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_views
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.views import iso, job_view
from app.gateway import Gateway

COLUMNS = {
    "job": "id",
    "status": "status",
    "model": "model",
    "held because": "held_reason",
    "quoted": "quoted_usd",
    "charged": "charged_usd",
    "created": "created_at",
}

group = typer.Typer(no_args_is_help=True, help="Look at jobs, and end held ones.")


class Action(StrEnum):
    """How a held job goes on."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    FAIL = "fail"


def _viewed(gateway: Gateway, job: Job) -> dict[str, Any]:
    return job_view(job, base_url=gateway.settings.base_url)


@group.command("held")
def held(*, as_json: AsJson = False) -> None:
    """List the jobs whose submission has an unknown outcome."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        jobs = await gateway.job_store.get_many(await gateway.job_store.held())
        return [_viewed(gateway, job) for job in jobs if job is not None]

    print_views(with_gateway(ask), COLUMNS, as_json=as_json)


@group.command("aside")
def aside(*, as_json: AsJson = False) -> None:
    """List the steps that were set aside, because their workers died of them; their money stays put."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        rows = await gateway.dispatch.aside()
        return [{"step": step, "id": split_ref(ref)[1], "since": iso(at_ms)} for step, ref, at_ms in rows]

    print_views(with_gateway(ask), {"step": "step", "id": "id", "since": "since"}, as_json=as_json)


@group.command("release")
def release(name: Annotated[str, typer.Argument(metavar="ID", help="as `filmgate jobs aside` lists it")]) -> None:
    """Let a step that was set aside go on, when its cause is mended."""

    async def ask(gateway: Gateway) -> bool:
        found = [(step, ref) for step, ref, _ in await gateway.dispatch.aside() if split_ref(ref)[1] == name]
        return any([await gateway.dispatch.release(step, ref) for step, ref in found])

    if not with_gateway(ask):
        raise Failure("Nothing with this id is set aside.")


@group.command("show")
def show(
    job_id: JobId,
    *,
    as_json: AsJson = False,
) -> None:
    """Show one job of any team."""

    async def ask(gateway: Gateway) -> list[dict[str, Any]]:
        job = await gateway.job_store.find(job_id)
        return [] if job is None else [_viewed(gateway, job)]

    found = with_gateway(ask)
    if not found:
        raise Failure("There is no job with this id.")
    print_views(found, COLUMNS, as_json=as_json)


@group.command("resolve")
def resolve(
    job_id: JobId,
    action: Annotated[Action, typer.Argument(help="adopt fal's request, resubmit (fal has nothing), or fail")],
    *,
    upstream_request_id: Annotated[str | None, typer.Option(help="fal's request id, for adopt")] = None,
    charged: Annotated[bool | None, typer.Option(help="Did fal charge it? For fail.")] = None,
    as_json: AsJson = False,
) -> None:
    """End a held job's uncertainty. Look into fal's dashboard first: resubmit buys again."""

    async def ask(gateway: Gateway) -> dict[str, Any]:
        job = await gateway.operations.resolve(
            actor(), job_id, action.value, upstream_request_id=upstream_request_id, charged=charged
        )
        return _viewed(gateway, job)

    print_views([with_gateway(ask)], COLUMNS, as_json=as_json)
