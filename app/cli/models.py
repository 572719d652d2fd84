"""`filmgate models`: the models of this gateway, and how they differ from what fal offers."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.cells import printable
from app.cli.drafts import draft_text, file_name, write_draft
from app.cli.exits import FAILED, Failure
from app.cli.tables import AsJson, print_json
from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from app.services.model_sync import ModelDrift, SyncReport

QUIET_S = 5.0  # outside a terminal, between two lines of progress
HEADINGS = {
    "new": "New at fal",
    "deprecated": "Deprecated at fal",
    "different": "Different",
    "not at fal": "Not at fal",
    "unreadable": "Not readable",
}

group = typer.Typer(no_args_is_help=True)


@group.callback()
def models() -> None:
    """The models of this gateway, and how they differ from what fal offers."""


@group.command("sync")
def sync(
    *,
    write: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write drafts of model files for what is new or different.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --write: replace files.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when anything differs.")] = False,
    schemas_only: Annotated[bool, typer.Option("--schemas-only", help="Do not compare prices.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the models with fal's platform API: what is new, deprecated or different.

    No key is needed; with FAL_KEY, unit prices are compared where fal has no sentence about the price. Drafts are
    for review: look at each before FILMGATE_MODELS names their directory.
    """
    if overwrite and write is None:
        raise typer.BadParameter("--overwrite needs --write DIR.")
    settings = load_settings(os.environ)
    report = asyncio.run(_compared(settings, prices=not schemas_only))
    written = _write(report, write, overwrite=overwrite) if write is not None else []
    if as_json:
        print_json(
            {**_report_view(report), "files": [{"file": name, "outcome": outcome} for name, outcome in written]}
        )
    else:
        _print(report)
        for name, outcome in written:
            typer.echo(f"{outcome}: {name}{' (--overwrite replaces it)' if outcome == 'kept' else ''}")
    kept = sum(outcome == "kept" for _, outcome in written)
    if kept:
        raise Failure(f"{kept} of {len(written)} drafts were not written, because other files are there.")
    if check and not report.clean:
        raise typer.Exit(FAILED)


async def _compared(settings: Settings, *, prices: bool) -> "SyncReport":
    # Slow to load, and not needed for the help.
    from app.fal.platform import FalPlatform  # noqa: PLC0415
    from app.gateway import load_catalog, route_to_fal  # noqa: PLC0415
    from app.services.model_sync import ModelSync  # noqa: PLC0415

    fal = FalPlatform(
        api_url=settings.fal_api_url,
        site_url=settings.site_url,
        key=settings.fal_key.get_secret_value() if settings.fal_key else None,
        route=route_to_fal(settings),
        report=_reporter(),
    )
    async with aclosing(fal):
        day = time.strftime("%Y-%m-%d", time.gmtime())
        return await ModelSync(load_catalog(settings), fal, day=day).compare(prices=prices)


def _reporter() -> Callable[[str], object]:
    """Progress on stderr: at once in a terminal; elsewhere after some seconds, and then now and then."""
    terminal, next_at = sys.stderr.isatty(), time.monotonic() + QUIET_S

    def report(text: str) -> None:
        nonlocal next_at
        if terminal or time.monotonic() > next_at:
            next_at = time.monotonic() + QUIET_S
            typer.echo(printable(text), err=True)

    return report


def _write(report: "SyncReport", folder: Path, *, overwrite: bool) -> list[tuple[str, str]]:
    """Name and outcome of each draft."""
    written: list[tuple[str, str]] = []
    for drift in report.drifts:
        if drift.draft is not None:
            name = file_name(drift.id)
            outcome = write_draft(folder, name, draft_text(drift.draft), overwrite=overwrite)
            written.append((str(folder / name), outcome))
    return written


def _print(report: "SyncReport") -> None:
    """The report for people: a line for each difference, `+` only at fal, `-` only here, `~` both."""
    typer.echo(f"fal describes {report.offered} models of these families; the registry has {report.known}.")
    for change, heading in HEADINGS.items():
        found = [drift for drift in report.drifts if drift.change == change]
        if found:
            typer.echo(f"\n{heading} ({len(found)})")
        for drift in found:
            typer.echo(f"  {drift.id}  {printable(drift.title)}")
            for line in drift.lines:
                typer.echo(f"    {printable(line)}")
    if report.remarks:
        typer.echo("")
    for remark in report.remarks:
        typer.echo(printable(remark))
    if report.clean:
        typer.echo("Nothing differs.")


def _report_view(report: "SyncReport") -> dict[str, Any]:
    return {
        "offered": report.offered,
        "known": report.known,
        "clean": report.clean,
        "drifts": [_drift_view(drift) for drift in report.drifts],
        "remarks": report.remarks,
    }


def _drift_view(drift: "ModelDrift") -> dict[str, Any]:
    return {
        "id": drift.id,
        "title": drift.title,
        "change": drift.change,
        "lines": list(drift.lines),
        "draft": drift.draft,
    }
