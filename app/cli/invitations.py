"""`filmgate users invite`: a link under which a user fetches a key of their own, once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import UserId
from app.cli.parse import actor, argument, duration, parse_name
from app.cli.store_command import store_command
from app.cli.tables import print_json
from app.domain.accounts import USER_SCOPES, Scope
from app.domain.sessions import DEFAULT_INVITATION_S, MAX_INVITATION_S, MIN_INVITATION_S
from app.views.sessions import NewInvitationView, invitation_view

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

KeyName = Annotated[
    str | None,
    typer.Option(parser=argument(parse_name), metavar="NAME", help="What the key is for, such as a laptop."),
]
KeyScopes = Annotated[
    list[Scope] | None, typer.Option("--scope", help="What the key may do; by default jobs:write, jobs:read.")
]
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


@store_command(print_link)
async def invite(
    gateway: "Gateway",
    user_id: UserId,
    *,
    key_name: KeyName = None,
    scopes: KeyScopes = None,
    expires_in: InvitedFor = None,
) -> NewInvitationView:
    """Print a link under which the user fetches a key of their own, once. The key is shown to nobody else."""
    made = await gateway.invitations.add(
        actor(),
        user=user_id,
        scopes=frozenset(scopes) if scopes else USER_SCOPES,
        key_name=key_name or "",
        expires_in_s=DEFAULT_INVITATION_S if expires_in is None else expires_in,
    )
    return {**invitation_view(made.invitation, made.invitation.created_ms), "url": made.url}
