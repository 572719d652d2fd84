"""`filmgate generate`: make one clip through a gateway's HTTP API."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from app.cli import INTERRUPTED
from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.access import find_access
from app.cli.generate.cancel import after_interrupt
from app.cli.generate.options import GenerateOptions
from app.cli.generate.takes import Takes
from app.cli.options import GatewayKey, GatewayUrl

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MODEL_ID = re.compile(r"[a-z0-9.-]+(?:/[a-z0-9.-]+)+")
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KEY_LENGTH = 255
MAX_TAKES = 10


def generate(  # noqa: PLR0913  one parameter for each option
    *,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="The first frame: JPEG, PNG, WebP; a file also HEIC, AVIF, GIF, BMP, TIFF.",
        ),
    ] = None,
    end_image: Annotated[str | None, typer.Option(metavar="FILE|URL", help="The last frame, likewise.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What happens in the clip.")] = None,
    duration: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="5 or 10; some models take others.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The clip's file; by default IMAGE's name."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model id of GET /v1/models; there is a default.")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the clip should not show.")
    ] = None,
    cfg_scale: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="How closely the clip follows the prompt, 0 to 1.")
    ] = None,
    members: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "--field",
            metavar="NAME=VALUE",
            help="Any other input of the model, repeatable: text, number, true or false as it wants, lists "
            "and objects as JSON; @FILE uploads a file where it wants a URL.",
        ),
    ] = None,
    takes: Annotated[
        int, typer.Option("-n", "--takes", metavar="COUNT", min=1, max=MAX_TAKES, help="So many clips of the same.")
    ] = 1,
    url: GatewayUrl = None,
    key: GatewayKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finished job instead of the path.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Same key and options, same job.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Continue with this job instead of making one.")
    ] = None,
) -> None:
    """Make a clip and print its path; of a voice, print its id.

    Example: `filmgate generate --image photo.jpg --prompt 'Slow zoom' -n 2`
    """
    making: dict[str, Any] = {"--image": image, "--end-image": end_image, "--prompt": prompt, "--model": model}
    making |= {"--duration": duration, "--negative-prompt": negative_prompt, "--cfg-scale": cfg_scale}
    making |= {"--set": members or None, "-n": takes if takes > 1 else None, "--idempotency-key": idempotency_key}
    _check(making, job)
    fields = {
        "prompt": prompt,
        "duration": None if duration is None else str(duration),
        "negative_prompt": negative_prompt,
        "cfg_scale": cfg_scale,
    }
    options = GenerateOptions(
        image=image,
        end_image=end_image,
        fields={name: value for name, value in fields.items() if value is not None},
        members=_pairs(members or []),
        model=model,
        out=out,
        force=force,
        job_id=job,
        idempotency_key=idempotency_key,
        takes=takes,
    )
    _make(Takes(find_access(url, key, os.environ), options), as_json=as_json)


def _check(making: dict[str, Any], job: str | None) -> None:
    """Wrong usage for options that exclude each other."""
    given = [name for name, value in making.items() if value is not None]
    model, key = making["--model"], making["--idempotency-key"]
    if job is not None:
        if given:
            raise typer.BadParameter(f"--job picks up a job that exists; {given[0]} makes a new one.")
        if not JOB_ID.fullmatch(job):
            raise typer.BadParameter("--job is a job's id, such as job_0123….")
        return
    if making["--prompt"] is None and not making["--set"]:
        raise typer.BadParameter("--prompt is missing (or --job, to pick up a job).")
    if making["--image"] is None and model is None:
        raise typer.BadParameter("--image is missing (or --model, with a model that takes none).")
    if model is not None and not MODEL_ID.fullmatch(model):
        raise typer.BadParameter("--model is a model's id, such as fal-ai/kling-video/v2/master/image-to-video.")
    if key is not None and not (key.isascii() and key.isprintable() and 0 < len(key) <= KEY_LENGTH):
        raise typer.BadParameter("--idempotency-key is 1 to 255 printable ASCII characters.")


def _pairs(given: list[str]) -> list[tuple[str, str]]:
    """Name and text of each `NAME=VALUE`."""
    pairs = []
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not FIELD_NAME.fullmatch(name):
            raise typer.BadParameter("--set is NAME=VALUE, such as --set resolution=720p.")
        pairs.append((name, value))
    return pairs


def _make(takes: Takes, *, as_json: bool) -> None:
    """Make them; stdout gets the paths, or the jobs, also those that failed."""
    try:
        asyncio.run(takes.make())
    except KeyboardInterrupt:
        for run in takes.runs:
            after_interrupt(run)
        raise typer.Exit(INTERRUPTED) from None
    except Failure as error:
        _print(takes, as_json=as_json)
        raise Failure(printable(str(error))) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Failure("The gateway's answer cannot be read.") from None
    _print(takes, as_json=as_json)


def _print(takes: Takes, *, as_json: bool) -> None:
    """The jobs there are as JSON, a list of them with several takes; or what was saved, a line each."""
    jobs = [run.job for run in takes.runs if run.job is not None]
    if as_json and jobs:
        typer.echo(json.dumps(jobs[0] if len(takes.runs) == 1 else jobs, indent=2))
    for run in takes.runs:
        if not as_json and (run.saved or run.voice):
            typer.echo(os.fsencode(run.saved or run.voice or ""))  # bytes: a file's name need not be text
