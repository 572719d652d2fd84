"""`filmgate users invite`: a link under which a user fetches a key of their own, once."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.cli.admin_calls import AdminCalls, View
from app.cli.admin_command import admin_command
from app.cli.options import SCOPES_HELP, UserId
from app.cli.parse import argument, duration, parse_name
from app.cli.tables import print_json
from app.domain.accounts import Scope
from app.domain.sessions import MAX_INVITATION_S, MIN_INVITATION_S

KeyName = Annotated[
    str | None,
    typer.Option(parser=argument(parse_name), metavar="NAME", help="What the key is for, such as a laptop."),
]
KeyScopes = Annotated[list[Scope] | None, typer.Option("--scope", metavar="SCOPE", help=SCOPES_HELP)]
InvitedFor = Annotated[
    int | None,
    typer.Option(
        parser=argument(duration(MIN_INVITATION_S, MAX_INVITATION_S)),
        metavar="TIME",
        help="How long the link works: 3600, 12h, 7d; 1d by default.",
    ),
]


def print_link(view: Mapping[str, Any], *, as_json: bool) -> None:
    """The link alone, so that it can be piped, or everything about it as JSON."""
    if as_json:
        print_json(view)
    else:
        typer.echo(view["url"])


@admin_command(print_link)
async def invite(
    calls: AdminCalls,
    user_id: UserId,
    *,
    key_name: KeyName = None,
    scopes: KeyScopes = None,
    expires_in: InvitedFor = None,
) -> View:
    """Print a link under which the user fetches a key of their own, once. The key is shown to nobody else."""
    return await calls.invite(user_id, {"scopes": scopes or None, "key_name": key_name, "expires_in": expires_in})
