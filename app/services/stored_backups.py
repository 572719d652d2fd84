"""Backups in the storage: made, listed, fetched for a restore, and removed when there are enough newer ones.

A backup is `backups/NAME/snapshot.rdb`, streamed from the store, and `backups/NAME/backup.json`, written last: it
makes the backup complete. Names begin with the time, so they sort.
"""

import asyncio
import secrets
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.errors import Conflict, FilmgateError, NotFound, Unavailable
from app.domain.times import iso
from app.media.storage import NothingStored, Storage
from app.services.backup import (
    BASE_FILE,
    FOLDER,
    Backup,
    BackupFile,
    ByteTally,
    NewFile,
    StoreNotLocal,
    WrittenBy,
    described,
    finish,
    small_files,
    write_small_files,
)
from app.store.backup import BackupStore
from app.store.snapshot import SnapshotRefused

PREFIX = "backups/"
CONTENT, DESCRIPTION = "snapshot.rdb", "backup.json"
LATEST = "latest"
QUEUED_PIECES = 8  # of 256 KB, between the store and the storage
INCOMPLETE_MS = 86_400_000  # after which what an interrupted backup left is removed
MAX_DESCRIPTION = 1 << 20


class StoredDescription(BaseModel):
    """The content of `backup.json` in the storage: of its `files` only the snapshot is there; the rest is made."""

    model_config = ConfigDict(frozen=True)
    backup: Backup
    engine: WrittenBy


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """A complete backup in the storage: its name, and the bytes of its snapshot."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class StoredBackups:
    """The backups in a storage, of which the newest `keep` stay."""

    storage: Storage
    keep: int

    async def make(self, store: BackupStore) -> tuple[str, Backup]:
        """Stream a snapshot of the store into the storage; the backup's name and description.

        It is noted in the store, where the schedule and `filmgate doctor` find it. Older backups are removed
        afterwards.

        Raises:
            Unavailable: the store or the storage does not do it; nothing counts as a backup.
        """
        place = await store.location()
        name = f"{iso(place.at_ms).replace(':', '-')}-{secrets.token_hex(3)}"
        snapshot = _Snapshot(store)
        try:
            await self.storage.put(
                f"{PREFIX}{name}/{CONTENT}", snapshot.pieces(), content_type="application/octet-stream"
            )
        except Exception as error:
            if isinstance(snapshot.error, SnapshotRefused):
                raise StoreNotLocal(snapshot.error.message) from None
            if snapshot.error is not None:  # the store's, which the storage has only passed on
                raise snapshot.error from None
            if isinstance(error, FilmgateError):
                raise
            raise Unavailable(f"The backup was not written ({type(error).__name__}).") from error
        files = {BASE_FILE: snapshot.file(), **small_files()}
        backup = described(place, "snapshot", files)
        engine = WrittenBy(kind=place.kind, version=list(place.version))
        content = StoredDescription(backup=backup, engine=engine).model_dump_json(indent=2).encode()
        await self.storage.put(f"{PREFIX}{name}/{DESCRIPTION}", content, content_type="application/json")
        await store.note_success(place.at_ms, name, backup.size)
        await self.prune(place.at_ms)
        return name, backup

    async def all(self) -> list[StoredBackup]:
        """The complete backups, the newest first."""
        objects, _ = await self._objects()
        return [
            StoredBackup(name, sizes.get(CONTENT, 0))
            for name, sizes in sorted(objects.items(), reverse=True)
            if DESCRIPTION in sizes
        ]

    async def prune(self, now_ms: int) -> list[str]:
        """Remove all but the newest `keep`, and what interrupted backups left a day ago; the names."""
        objects, newest_ms = await self._objects()
        complete = [name for name in sorted(objects, reverse=True) if DESCRIPTION in objects[name]]
        gone = complete[self.keep :] + [
            name for name in objects if name not in complete and now_ms - newest_ms[name] > INCOMPLETE_MS
        ]
        for name in gone:  # the description first: half of a backup is none
            await self.storage.delete([f"{PREFIX}{name}/{DESCRIPTION}"])
            await self.storage.delete([f"{PREFIX}{name}/{part}" for part in objects[name] if part != DESCRIPTION])
        return gone

    async def fetch(self, name: str, target: Path) -> Backup:
        """Copy a backup (or the `latest`) into a new directory in the form of `filmgate backup DIR`.

        Raises:
            NotFound: there is no such backup.
            Conflict: what is there is not what was written.
            StorageAway: the storage does not give it.
        """
        if name == LATEST:
            found = await self.all()
            if not found:
                raise NotFound("There is no backup in the storage.")
            name = found[0].name
        if "/" in name or name.startswith("."):
            raise NotFound(f"{name!r} is no backup's name; `filmgate backup --list` shows them.")
        described_as = await self._description(name)
        inner = target / FOLDER
        await asyncio.to_thread(inner.mkdir, mode=0o700, parents=True)
        try:
            with NewFile(inner / BASE_FILE) as base:
                async with self.storage.read(f"{PREFIX}{name}/{CONTENT}") as (_, pieces):
                    async for piece in pieces:
                        await asyncio.to_thread(base.write, piece)
            _require_same(name, base.facts(), described_as.backup)
            write_small_files(inner)
            finish(target, target, described_as.backup, described_as.engine)
        except NothingStored:
            shutil.rmtree(target, ignore_errors=True)
            raise NotFound(f"There is no backup {name} in the storage.") from None
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return described_as.backup

    async def _description(self, name: str) -> StoredDescription:
        try:
            async with self.storage.read(f"{PREFIX}{name}/{DESCRIPTION}", length=MAX_DESCRIPTION) as (_, pieces):
                return StoredDescription.model_validate_json(b"".join([piece async for piece in pieces]))
        except (NothingStored, ValidationError):
            raise NotFound(f"There is no backup {name} in the storage; see `filmgate backup --list`.") from None

    async def _objects(self) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
        """By backup's name: its objects with their sizes, and when the newest of them was written (ms)."""
        sizes: dict[str, dict[str, int]] = defaultdict(dict)
        newest: dict[str, int] = defaultdict(int)
        async for page in self.storage.list(PREFIX):
            for one in page:
                name, _, part = one.key.removeprefix(PREFIX).partition("/")
                sizes[name][part] = one.size
                newest[name] = max(newest[name], one.modified_ms)
        return dict(sizes), dict(newest)


def _require_same(name: str, found: BackupFile, backup: Backup) -> None:
    """Conflict when the snapshot is not the one that was written."""
    if found != backup.files[BASE_FILE]:
        raise Conflict(f"The backup {name} is damaged: its snapshot is not as it was written.")


class _Snapshot:
    """The store's snapshot as a stream: a thread reads it, and waits while the storage is slower."""

    def __init__(self, store: BackupStore) -> None:
        self._store = store
        self._read = ByteTally()
        self.error: FilmgateError | None = None

    def file(self) -> BackupFile:
        """What was read."""
        return self._read.facts()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces; raises `error` when the store did not send all of it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED_PIECES)
        left = False

        def write(piece: bytes) -> None:
            if left:
                raise Unavailable("Nobody reads the snapshot any more.")
            asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()

        async def read() -> None:
            try:
                await asyncio.to_thread(self._store.snapshot, write)
            except FilmgateError as error:
                self.error = error
            await queue.put(None)

        reading = asyncio.create_task(read())
        try:
            while (piece := await queue.get()) is not None:
                self._read.add(piece)
                yield piece
            if self.error is not None:
                raise self.error
        finally:
            left = True
            while not reading.done():  # let the thread get on, so that it sees that nobody reads
                while not queue.empty():
                    queue.get_nowait()
                await asyncio.wait([reading], timeout=0.05)
