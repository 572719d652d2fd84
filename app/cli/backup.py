"""`filmgate backup`, `filmgate restore` and `filmgate epoch`: copies of the store, and what a copy may do."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.parse import actor
from app.cli.store_url import with_gateway
from app.cli.tables import AsJson, print_view
from app.domain.buying import HELD_SENTENCE
from app.gateway import Gateway
from app.services.backup import Backup, Elsewhere
from app.services.epoch import EpochState
from app.services.restore import restore as put_back
from app.settings import load_settings

BY_HAND = (
    "On the store's machine: `redis-cli config set auto-aof-rewrite-percentage 0`; wait until `redis-cli info "
    "persistence` says aof_rewrite_in_progress:0; copy appendonlydir; set the percentage back (docs/backup.md)"
)

Target = Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is not there yet.")]
Source = Annotated[Path, typer.Argument(metavar="DIR", help="A directory that `filmgate backup` made.")]
Replace = Annotated[bool, typer.Option("--replace", help="Move the data that is there aside.")]

group = typer.Typer(no_args_is_help=True)


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _quiet(_words: str) -> None:
    """With --json nothing but JSON is printed."""


def backup(target: Target, *, as_json: AsJson = False) -> None:
    """Copy the running store into a directory; the store goes on meanwhile."""
    say = _quiet if as_json else _say

    async def ask(gateway: Gateway) -> Backup:
        return await gateway.backups.make(target.absolute(), say)

    try:
        made = with_gateway(ask)
    except Elsewhere as error:
        raise Failure(f"{error.message} {BY_HAND}.") from None
    print_view(_viewed(made, target), as_json=as_json)


def restore(source: Source, *, replace: Replace = False, as_json: AsJson = False) -> None:
    """Put a backup in the place of the embedded store's data. Nothing is bought until somebody has looked."""
    settings = load_settings(os.environ)
    if settings.redis_url is not None:
        raise Failure(
            "FILMGATE_REDIS_URL names a store that is not Filmgate's own: stop that server, put the backup's "
            "appendonlydir in its place, and start it again (docs/backup.md)."
        )
    made, aside = put_back(
        source.absolute(), settings.data_dir.absolute(), replace=replace, say=_quiet if as_json else _say
    )
    moved = {"moved_aside": None if aside is None else str(aside)}
    print_view({**_viewed(made, settings.data_dir), **moved}, as_json=as_json)
    if not as_json:
        _say("Start the gateway; it buys nothing until fal's history is compared, or `filmgate epoch accept`.")


def _viewed(made: Backup, where: Path) -> dict[str, Any]:
    return {
        "directory": str(where),
        "made_at": made.made_at,
        "store": made.store_id,
        "claims": made.claims,
        "server": made.server,
        "files": len(made.files),
        "bytes": made.size,
    }


@group.command("show")
def show(*, as_json: AsJson = False) -> None:
    """Show which store this is, whether it is trusted to buy, and what else stops buying for everybody."""

    async def ask(gateway: Gateway) -> dict[str, Any]:
        return await _state_view(gateway, await gateway.epoch.state())

    print_view(with_gateway(ask), as_json=as_json)


@group.command("accept")
def accept(*, as_json: AsJson = False) -> None:
    """Let a store that has gone back in time buy. Look into fal's dashboard first: queued jobs are bought again."""

    async def ask(gateway: Gateway) -> dict[str, Any]:
        return await _state_view(gateway, await gateway.epoch.accept(actor=actor()))

    print_view(with_gateway(ask), as_json=as_json)


async def _state_view(gateway: Gateway, state: EpochState) -> dict[str, Any]:
    """`trusted` is what the epoch says; pauses, the breaker and held jobs stop a trusted store all the same."""
    stopped = state.stopped or (await gateway.stores.buying.state()).reason_for("")
    return {
        "store": state.id,
        "claims": state.claims,
        "trusted": state.stopped is None,
        "buying": stopped is None,
        "stopped": stopped,
        "lifted_by": _remedy(state, stopped),
        "why": state.why,
        "since": _moment(state.since_ms),
        "whole_until": _moment(state.good_ms),
        "witness": None if state.witness is None else asdict(state.witness),
    }


def _remedy(state: EpochState, stopped: str | None) -> str | None:
    """The command that lets buying go on."""
    if stopped is None:
        return None
    if state.stopped is not None:
        return "filmgate epoch accept"
    return "filmgate jobs resolve" if stopped == HELD_SENTENCE else "filmgate resume"


def _moment(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
