"""`filmgate jobs`: look at jobs, and end held ones."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from app.cli.exits import Failure
from app.cli.store_url import with_gateway
from app.domain.jobs import Job
from app.domain.money import format_usd
from app.domain.views import iso, job_view
from app.gateway import Gateway

PIPE_COLUMNS = 200  # wide enough that nothing is folded in a file or a pipe

group = typer.Typer(no_args_is_help=True, help="Look at jobs, and end held ones.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Action(StrEnum):
    """How a held job goes on."""

    ADOPT = "adopt"
    RESUBMIT = "resubmit"
    FAIL = "fail"


def _show(jobs: list[tuple[Job, dict[str, Any]]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([view for _, view in jobs], indent=2, ensure_ascii=False))
        return
    job_id = Column("job", no_wrap=True)  # it is copied into the next command
    table = Table(job_id, "status", "model", "held because", "quoted", "charged", "created")
    for job, _ in jobs:
        charged = "" if job.charged_micro is None else format_usd(job.charged_micro)
        table.add_row(
            job.id,
            job.status.value,
            job.model,
            job.held_reason or "",
            format_usd(job.quoted_micro),
            charged,
            iso(job.created_ms),
        )
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_COLUMNS)).print(table)


def _viewed(gateway: Gateway, job: Job) -> tuple[Job, dict[str, Any]]:
    return job, job_view(job, base_url=gateway.settings.base_url)


@group.command("held")
def held(*, as_json: AsJson = False) -> None:
    """List the jobs whose submission has an unknown outcome."""

    async def ask(gateway: Gateway) -> list[tuple[Job, dict[str, Any]]]:
        jobs = await gateway.job_store.get_many(await gateway.job_store.held())
        return [_viewed(gateway, job) for job in jobs if job is not None]

    _show(with_gateway(ask), as_json=as_json)


@group.command("show")
def show(job_id: str, *, as_json: AsJson = False) -> None:
    """Show one job of any team."""

    async def ask(gateway: Gateway) -> list[tuple[Job, dict[str, Any]]]:
        job = await gateway.job_store.find(job_id)
        return [] if job is None else [_viewed(gateway, job)]

    found = with_gateway(ask)
    if not found:
        raise Failure("There is no job with this id.")
    _show(found, as_json=as_json)


@group.command("resolve")
def resolve(
    job_id: str,
    action: Annotated[Action, typer.Argument(help="adopt fal's request, resubmit (fal has nothing), or fail")],
    *,
    upstream_request_id: Annotated[str | None, typer.Option(help="fal's request id, for adopt")] = None,
    charged: Annotated[bool | None, typer.Option(help="Did fal charge it? For fail.")] = None,
    as_json: AsJson = False,
) -> None:
    """End a held job's uncertainty. Look into fal's dashboard first: resubmit buys again."""

    async def ask(gateway: Gateway) -> tuple[Job, dict[str, Any]]:
        job = await gateway.jobs.resolve(
            job_id, action.value, upstream_request_id=upstream_request_id, charged=charged
        )
        return _viewed(gateway, job)

    _show([with_gateway(ask)], as_json=as_json)
