"""`filmgate backup`, `filmgate restore` and `filmgate epoch`: copies of the store, and whether it may buy."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.exits import Failure
from app.cli.parse import actor
from app.cli.store_command import store_command, with_gateway
from app.cli.tables import AsJson, print_view, print_views
from app.domain.buying import HELD_SENTENCE
from app.services.backup import Backup, StoreNotLocal
from app.services.epoch import EpochState
from app.services.restore import restore as put_back
from app.settings import load_settings

if TYPE_CHECKING:
    from app.gateway import Gateway  # slow to load: see store_command

BY_HAND = (
    "Run this as the store's user `admin` (in compose: `docker compose run --rm admin …`); or give its user "
    "+sync and +replconf (docs/store.md); or on the store's machine: `redis-cli config set "
    "auto-aof-rewrite-percentage 0`; wait until `redis-cli info persistence` says aof_rewrite_in_progress:0; "
    "copy appendonlydir; set the percentage back (docs/backup.md)"
)

Target = Annotated[Path | None, typer.Argument(metavar="DIR", help="A new directory.")]
ToStorage = Annotated[
    bool,
    typer.Option("--to-storage", help="Write it to FILMGATE_STORAGE, and remove all but FILMGATE_BACKUP_KEEP."),
]
ListStored = Annotated[bool, typer.Option("--list", help="List the backups in the storage.")]
FromStorage = Annotated[
    str | None, typer.Option("--from", metavar="NAME", help="Copy this backup of the storage, or the `latest`.")
]
Source = Annotated[Path, typer.Argument(metavar="DIR", help="A directory of `filmgate backup`.")]
Drill = Annotated[
    bool,
    typer.Option("--drill", help="Only rehearse: restore into a scratch store, verify its ledger, and delete it."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Move existing data to another folder.")]

group = typer.Typer(no_args_is_help=True)


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _say_nothing(_words: str) -> None:
    """With --json only JSON is printed."""


def backup(
    target: Target = None,
    *,
    to_storage: ToStorage = False,
    list_stored: ListStored = False,
    from_storage: FromStorage = None,
    as_json: AsJson = False,
) -> None:
    """Copy the running store into a directory or the storage, or a backup of the storage into a directory."""
    alone = to_storage or list_stored
    if (target is None) is not alone or to_storage + list_stored + (from_storage is not None) > 1:
        raise typer.BadParameter("give DIR, DIR with --from, --to-storage or --list.")
    try:
        if target is None or from_storage is not None:
            _stored(target, from_storage, to_storage=to_storage, as_json=as_json)
        else:
            _to_directory(target, as_json=as_json)
    except StoreNotLocal as error:
        raise Failure(f"{error.message} {BY_HAND}.") from None


def _stored(target: Path | None, name: str | None, *, to_storage: bool, as_json: bool) -> None:
    """What concerns the storage, whose library is loaded only here."""
    from app.cli import stored_backups  # noqa: PLC0415  35 MB with the gateway

    if target is not None and name is not None:
        print_view(_view(stored_backups.fetched(name, target.absolute()), target), as_json=as_json)
    elif to_storage:
        print_view(stored_backups.to_storage(), as_json=as_json)
    else:
        print_views(stored_backups.listed(), {"name": "name", "bytes": "bytes"}, as_json=as_json)


def _to_directory(target: Path, *, as_json: bool) -> None:
    say = _say_nothing if as_json else _say
    made = with_gateway(lambda gateway: gateway.backups.make(target.absolute(), say))
    print_view(_view(made, target), as_json=as_json)


def restore(source: Source, *, replace: Replace = False, drill: Drill = False, as_json: AsJson = False) -> None:
    """Replace the embedded store's data by a backup.

    Nothing is bought until fal's history was compared, or an operator accepts the store. With --drill the data
    stays as it is, and the gateway may run.
    """
    settings = load_settings(os.environ, keep_unknown=drill)
    if drill and replace:
        raise typer.BadParameter("they cannot go together.", param_hint=["--drill", "--replace"])
    if drill:
        from app.cli.drill import rehearse  # noqa: PLC0415  loads the gateway, which takes a second

        say = _say_nothing if as_json else _say
        found = rehearse(source.absolute(), settings, say)
        print_view(found if as_json else {**found, "differences": len(found["differences"])}, as_json=as_json)
        return
    if settings.redis_url is not None:
        raise Failure(
            "FILMGATE_REDIS_URL names a store that is not Filmgate's own: stop that server, put the backup's "
            "appendonlydir in its place, and start it again (docs/backup.md)."
        )
    say = _say_nothing if as_json else _say
    made, aside = put_back(source.absolute(), settings.data_dir.absolute(), replace=replace, say=say)
    moved = {"moved_aside": None if aside is None else str(aside)}
    print_view({**_view(made, settings.data_dir), **moved}, as_json=as_json)
    if not as_json:
        _say("Start the gateway; it buys nothing until fal's history is compared, or `filmgate epoch accept`.")


def _view(made: Backup, where: Path) -> dict[str, Any]:
    return {
        "directory": str(where),
        "made_at": made.made_at,
        "store": made.store_id,
        "claims": made.claims,
        "server": made.server,
        "way": made.way,
        "files": len(made.files),
        "bytes": made.size,
    }


@group.command("show")
@store_command(print_view)
async def show(gateway: "Gateway") -> dict[str, Any]:
    """Show the store's identity, whether it is trusted, and what stops buying for everybody."""
    return await _state_view(gateway, await gateway.epoch.state())


@group.command("accept")
@store_command(print_view)
async def accept(gateway: "Gateway") -> dict[str, Any]:
    """Let a store that has gone back in time buy. Check fal's dashboard first: queued jobs are bought again."""
    return await _state_view(gateway, await gateway.epoch.accept(actor=actor()))


async def _state_view(gateway: "Gateway", state: EpochState) -> dict[str, Any]:
    """`trusted` is about the epoch only; pauses, the breaker and held jobs also stop buying."""
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
    """The command that resumes buying."""
    if stopped is None:
        return None
    if state.stopped is not None:
        return "filmgate epoch accept"
    return "filmgate jobs resolve" if stopped == HELD_SENTENCE else "filmgate resume"


def _moment(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
