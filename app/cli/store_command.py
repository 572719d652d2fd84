"""Commands on this machine's store: the configured one, or that of a running `filmgate up`.

The gateway is loaded when a command opens it: it takes longer than all the rest, and no help needs it.
"""

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from app.cli.exits import Failure
from app.cli.tables import AsJson
from app.data_dir import running_address
from app.settings import Settings, load_settings, unknown_setting
from app.this_store import with_this_store

if TYPE_CHECKING:
    from app.gateway import Gateway

AT_STORE_ONLY = "This command works at the store only: run it where FILMGATE_REDIS_URL or the data directory is."
NoUrl = Annotated[str | None, typer.Option("--url", hidden=True)]

Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)


class Printer(Protocol[Result_contra]):
    """A function that prints the result of a command."""

    def __call__(self, result: Result_contra, /, *, as_json: bool) -> None:
        """Print it for people, or as JSON."""


def store_command(
    show: Printer[Result],
) -> Callable[[Callable[..., Awaitable[Result]]], Callable[..., None]]:
    """Make a command of an async function on a gateway: `show` prints its result. It works at the store only.

    The command has the function's parameters except the gateway, and `--json`.
    """

    def decorate(function: Callable[..., Awaitable[Result]]) -> Callable[..., None]:
        @wraps(function)
        def command(*, as_json: bool, url: str | None, **arguments: Any) -> None:
            if url is not None:
                raise Failure(AT_STORE_ONLY)
            show(with_gateway(lambda gateway: function(gateway, **arguments)), as_json=as_json)

        set_parameters(command, function, url=NoUrl)
        return command

    return decorate


def set_parameters(command: Callable[..., None], function: Callable[..., Any], *, url: Any) -> None:
    """Set what typer reads of a command: the parameters of the function but the first, `--url`, and `--json`."""
    signature = inspect.signature(function)
    kind = inspect.Parameter.KEYWORD_ONLY
    first, *parameters = signature.parameters.values()
    more = [
        inspect.Parameter("url", kind, default=None, annotation=url),
        inspect.Parameter("as_json", kind, default=False, annotation=AsJson),
    ]
    command.__signature__ = signature.replace(parameters=[*parameters, *more])  # type: ignore[attr-defined]  # typer reads it
    hints = function.__annotations__  # typer resolves them, and without the first's, a gateway's, it can
    command.__annotations__ = {name: hint for name, hint in hints.items() if name != first.name}


def with_gateway(ask: Callable[["Gateway"], Awaitable[Result]], *, patience: float = 0) -> Result:
    """Open a gateway on that store, which may take `patience` seconds to come up; call `ask`, close it."""
    from app.gateway import open_gateway  # noqa: PLC0415  see above
    from app.telemetry import log_warnings_only  # noqa: PLC0415

    log_warnings_only()

    async def run() -> Result:
        async with open_gateway(settings_with_store(), process="cli", patience=patience) as gateway:
            return await ask(gateway)

    return asyncio.run(run())


def settings_with_store() -> Settings:
    """The settings, with the embedded store's address unless one is configured. Failure when nothing runs."""
    given = load_settings(os.environ, keep_unknown=True)
    settings = with_this_store(given)
    if settings.redis_url is None and settings.unknown_names:
        raise unknown_setting(settings.unknown_names[0])
    if settings.redis_url is None:
        raise Failure(f"Nothing runs in {settings.data_dir}: start `filmgate up`, or set FILMGATE_REDIS_URL.")
    if given.redis_url is None and given.public_url is None:  # links lead to `filmgate up`, whatever is set here
        return settings.model_copy(update={"public_url": running_address(settings.data_dir)})
    return settings
