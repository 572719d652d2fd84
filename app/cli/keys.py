"""`filmgate keys`: give people keys."""

import json
from typing import Annotated

import typer

from app.cli.store_url import with_gateway
from app.gateway import Gateway
from app.services.administration import Account

group = typer.Typer(no_args_is_help=True, help="Give people keys.")


@group.callback()
def keys() -> None:
    """Give people keys."""


@group.command("create")
def create(
    user: Annotated[str, typer.Argument(help="Whose key it is: a person or a service.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a user with a key. The key is shown this once; Filmgate keeps only its SHA-256."""

    async def ask(gateway: Gateway) -> Account:
        return await gateway.administration.add_account(user)

    account = with_gateway(ask)
    if as_json:
        made = {"user": account.user.id, "name": account.user.name, "team": account.team.id, "key": account.key}
        typer.echo(json.dumps(made, indent=2, ensure_ascii=False))
    else:
        typer.echo(account.key)
