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
from app.cli.generate.run import GenerateOptions, Run
from app.cli.options import GatewayKey, GatewayUrl

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MODEL_ID = re.compile(r"[a-z0-9.-]+(?:/[a-z0-9.-]+)+")
FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KEY_LENGTH = 255


def generate(  # noqa: PLR0913  one parameter for each option
    *,
    image: Annotated[
        str | None,
        typer.Option(help="The first frame, file or URL: JPEG, PNG, WebP; a file also HEIC, AVIF, GIF, BMP, TIFF."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What happens in the clip.")] = None,
    duration: Annotated[int | None, typer.Option(help="Seconds: 5 or 10; some models take others.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The clip's file; by default IMAGE's name.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model id of GET /v1/models.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What the clip should not show.")] = None,
    cfg_scale: Annotated[
        float | None, typer.Option(help="How closely the clip follows the prompt, 0 to 1.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Another field of the model's input, as JSON or text; repeatable."),
    ] = None,
    url: GatewayUrl = None,
    key: GatewayKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finished job instead of the path.")] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="Same key and options, same job.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    job: Annotated[str | None, typer.Option("--job", help="Continue with this job instead of making one.")] = None,
) -> None:
    """Make a clip and print its path; of a voice, print its id."""
    making: dict[str, Any] = {"--image": image, "--prompt": prompt, "--duration": duration, "--model": model}
    making |= {"--negative-prompt": negative_prompt, "--cfg-scale": cfg_scale, "--idempotency-key": idempotency_key}
    making["--field"] = field
    _check(making, job)
    fields = {
        "prompt": prompt,
        "duration": None if duration is None else str(duration),
        "negative_prompt": negative_prompt,
        "cfg_scale": cfg_scale,
    }
    options = GenerateOptions(
        image=image,
        fields={name: value for name, value in fields.items() if value is not None} | _other_fields(field or []),
        model=model,
        out=out,
        force=force,
        job_id=job,
        idempotency_key=idempotency_key,
    )
    run = Run(find_access(url, key, os.environ), options)
    _make(run, as_json=as_json)


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
    if making["--prompt"] is None and not making["--field"]:
        raise typer.BadParameter("--prompt is missing (or --job, to pick up a job).")
    if making["--image"] is None and model is None:
        raise typer.BadParameter("--image is missing (or --model, with a model that takes none).")
    if model is not None and not MODEL_ID.fullmatch(model):
        raise typer.BadParameter("--model is a model's id, such as fal-ai/kling-video/v2/master/image-to-video.")
    if key is not None and not (key.isascii() and key.isprintable() and 0 < len(key) <= KEY_LENGTH):
        raise typer.BadParameter("--idempotency-key is 1 to 255 printable ASCII characters.")


def _other_fields(given: list[str]) -> dict[str, Any]:
    """`{name: value}` of `NAME=VALUE`; a value that is no JSON is text."""
    fields: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not FIELD_NAME.fullmatch(name):
            raise typer.BadParameter("--field is NAME=VALUE, such as --field resolution=720p.")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def _make(run: Run, *, as_json: bool) -> None:
    """Run it; stdout gets the path, or the job, also one that failed."""
    try:
        asyncio.run(run.clip())
    except KeyboardInterrupt:
        after_interrupt(run)
        raise typer.Exit(INTERRUPTED) from None
    except Failure as error:
        if as_json and run.job is not None:
            typer.echo(json.dumps(run.job, indent=2))
        raise Failure(printable(str(error))) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Failure("The gateway's answer cannot be read.") from None
    if as_json:
        typer.echo(json.dumps(run.job, indent=2))
    else:
        typer.echo(os.fsencode(run.saved or run.voice or ""))  # bytes: a file's name need not be text
