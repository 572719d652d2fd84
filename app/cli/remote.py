"""Commands over HTTP: one call after the other to a gateway, failures as sentences."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import typer

from app.cli import INTERRUPTED
from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.access import Access
from app.cli.generate.client import ApiClient

Result = TypeVar("Result")


def with_client(access: Access, ask: Callable[[ApiClient], Coroutine[Any, Any, Result]]) -> Result:
    """Open a client of the gateway, call `ask`, close it; Ctrl-C ends the command."""

    async def run() -> Result:
        async with ApiClient(access, lambda text: None if text is None else notice(text)) as client:
            return await ask(client)

    try:
        return run_calls(run())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def run_calls(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it; Failure in a sentence that a terminal can show."""
    try:
        return asyncio.run(work)
    except Failure as error:
        raise Failure(printable(str(error))) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Failure("The gateway's answer cannot be read.") from None


def notice(line: str) -> None:
    """A line on stderr."""
    typer.echo(printable(line), err=True)
