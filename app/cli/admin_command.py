"""Commands of administration, at this machine's store or at a gateway over HTTP: chosen here.

A gateway is spoken to with `--url`, or where FILMGATE_URL and FILMGATE_ADMIN_KEY are set and FILMGATE_REDIS_URL is
not; otherwise the store is opened, as in `store_command`.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.cli.admin_calls import AdminCalls
from app.cli.exits import Failure
from app.cli.store_command import Printer, set_parameters, with_gateway
from app.cli.whole_ids import with_whole_ids

if TYPE_CHECKING:
    from app.cli.generate.access import Access  # with httpx, which the store's commands do not need

Result = TypeVar("Result")

ADMIN_KEY = "FILMGATE_ADMIN_KEY"

AdminUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help=f"A gateway to administer over HTTP, with the key in {ADMIN_KEY}; by default FILMGATE_URL, "
        "or this machine's store.",
    ),
]


def admin_command(
    show: Printer[Result], *, check: Callable[..., None] | None = None
) -> Callable[[Callable[..., Awaitable[Result]]], Callable[..., None]]:
    """Make a command of an async function on AdminCalls: `show` prints its result.

    The command has the function's parameters except the first, `--url` and `--json`. `check` gets the same
    arguments and refuses wrong usage before anything is opened. Teams, users, keys and jobs may be
    given by the unique beginning of their id, teams and users by their name (`whole_ids`).
    """

    def decorate(function: Callable[..., Awaitable[Result]]) -> Callable[..., None]:
        @wraps(function)
        def command(*, as_json: bool, url: str | None, **arguments: Any) -> None:
            if check is not None:
                check(**arguments)

            async def act(calls: AdminCalls) -> Result:
                return await function(calls, **await with_whole_ids(calls, arguments))

            show(_run(url, act), as_json=as_json)

        set_parameters(command, function, url=AdminUrl)
        return command

    return decorate


def find_admin_access(url: str | None, environ: Mapping[str, str]) -> "Access | None":
    """The gateway to administer over HTTP; None for the store. Failure for `--url` without a key."""
    key = _admin_key(environ)
    address = url or environ.get("FILMGATE_URL")
    if url is None and (not address or not key or environ.get("FILMGATE_REDIS_URL")):
        return None
    if not key:
        raise Failure(f"--url needs the administrator's key of that gateway: set {ADMIN_KEY}.")
    from app.cli.generate.access import access_with  # noqa: PLC0415  see above

    return access_with(address or "", key, ADMIN_KEY)


def _admin_key(environ: Mapping[str, str]) -> str:
    if environ.get(ADMIN_KEY):
        return environ[ADMIN_KEY]
    file = environ.get(f"{ADMIN_KEY}_FILE")
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError):
        raise Failure(f"The file that {ADMIN_KEY}_FILE names cannot be read.") from None


def _run(url: str | None, act: Callable[[AdminCalls], Awaitable[Result]]) -> Result:
    access = find_admin_access(url, os.environ)
    if access is None:
        from app.cli.admin_at_store import AdminAtStore  # noqa: PLC0415  only one of them is loaded

        return with_gateway(lambda gateway: act(AdminAtStore(gateway)))
    from app.cli.admin_over_http import AdminOverHttp  # noqa: PLC0415
    from app.cli.generate.client import ApiClient  # noqa: PLC0415
    from app.cli.remote import with_client  # noqa: PLC0415

    async def ask(client: ApiClient) -> Result:
        return await act(AdminOverHttp(client))

    return with_client(access, ask)
