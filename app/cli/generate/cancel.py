"""Ctrl-C in `filmgate generate`: leave the job, or cancel it."""

import asyncio
import sys

import typer

from app.cli.exits import Failure
from app.cli.generate.client import ApiClient, JobReply
from app.cli.generate.events import STOPPED_STATUSES
from app.cli.generate.run import Run, why_no_clip

QUESTION = "Cancel the job? It costs nothing while it waits; once it runs, fal may charge it. [y/N] "
CANCEL_WAIT_S = 20  # for fal's reply


def after_interrupt(run: Run) -> None:
    """Say what state the job is in, and cancel it when the person wants that."""
    try:
        if run.job is None:
            _say(run.unsure_advice if run.submitting else "Nothing was submitted.")
        elif run.job["status"] in STOPPED_STATUSES:
            _say(f"The job is {run.job['status']}; get it with: {run.resume_command}")
        elif _wants_to_cancel():
            _say("Cancelling …")
            _say(asyncio.run(_cancel(run, run.job)))
        else:
            _leave(run)
    except KeyboardInterrupt:
        typer.echo("", err=True)
        _leave(run)
    except Failure as error:
        _say(f"{error} Whether the job was cancelled is not known; see: {run.resume_command}")


def _wants_to_cancel() -> bool:
    """The answer of the person at the terminal; False without a terminal."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(QUESTION)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _cancel(run: Run, job: JobReply) -> str:
    """Cancel the job and wait for its end; the result in a sentence."""
    async with ApiClient(run.access, lambda _: None) as client:
        await client.cancel(job["id"])
        job = await client.job(job["id"], wait_s=CANCEL_WAIT_S)
    match job["status"], job["charged_usd"]:
        case "succeeded", _:
            return f"It was done before it could be cancelled; get it with: {run.resume_command}"
        case "canceled", None:
            return "Cancelled. Whether fal charges it will show in its bill."
        case "canceled", "0.00":
            return "Cancelled; it cost nothing."
        case "canceled", charged:
            return f"Cancelled; it cost ${charged}."
        case "failed", _:
            return why_no_clip(job)
    return f"fal was asked to stop it, and has not answered yet; see how it ended with: {run.resume_command}"


def _leave(run: Run) -> None:
    _say(f"The job goes on; get it with: {run.resume_command}")


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)
