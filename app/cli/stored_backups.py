"""Backups in the storage, for `filmgate backup`: made, listed, copied; the last two need no store."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.cli.exits import Failure
from app.cli.store_command import with_gateway
from app.domain.errors import Conflict
from app.gateway import Gateway
from app.services.backup import Backup
from app.services.stored_backups import StoredBackups
from app.settings import Settings, load_settings
from app.starting import open_storage

if TYPE_CHECKING:
    from app.media.storage import Storage

Result = TypeVar("Result")


def to_storage() -> dict[str, Any]:
    """Make a backup in the storage; its name and size."""

    async def make(gateway: Gateway) -> dict[str, Any]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _leave)
        name, made = await _backups(gateway.storage, gateway.settings).make(gateway.stores.backup)
        return {"name": name, "made_at": made.made_at, "store": made.store_id, "bytes": made.size}

    return with_gateway(make)


def listed() -> list[dict[str, Any]]:
    """The backups in the storage, the newest first."""

    async def read(backups: StoredBackups) -> list[dict[str, Any]]:
        return [{"name": one.name, "bytes": one.size} for one in await backups.all()]

    return _ask(read)


def fetched(name: str, target: Path) -> Backup:
    """Copy a backup of the storage into a new directory."""
    if target.exists():
        raise Conflict(f"{target} is there already; a backup overwrites nothing.")
    return _ask(lambda backups: backups.fetch(name, target))


def _ask(ask: Callable[[StoredBackups], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        settings = load_settings(os.environ, keep_unknown=True)
        return await ask(_backups(open_storage(settings), settings))

    return asyncio.run(run())


def _backups(storage: "Storage | None", settings: Settings) -> StoredBackups:
    if storage is None:
        raise Failure("FILMGATE_STORAGE is not set, so there is no storage for backups (docs/storage.md).")
    return StoredBackups(storage, settings.backup_keep)


def _leave() -> None:
    """What was written so far does not count; the next backup removes it."""
    os._exit(1)
