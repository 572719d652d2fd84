"""Backups of a running store: its append-only file, or a snapshot in the form of one, with a description.

A backup is a directory: `appendonlydir/` as the server wrote it, `engine.json` (which server that was), and
`backup.json`, written last: the time, the store, and every file with its size and SHA-256. Where the server's files
cannot be read, `appendonlydir/` has a snapshot that the server sent, as the base of a file of commands.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app import __version__
from app.domain.errors import Conflict, NotFound, Unavailable
from app.store.backup import AofLocation, BackupStore
from app.store.snapshot import SnapshotRefused
from app.store.witness import sync_directory

DESCRIPTION = "backup.json"
ENGINE = "engine.json"
FOLDER = "appendonlydir"
FORMAT = 1
CHUNK = 1 << 20  # bytes
SIGNATURE_WAIT_S = 5.0  # a server may delay a write while the disk is busy
POLL_S = 0.05
MAX_TRIES = 3

Announce = Callable[[str], None]


BASE_FILE, INCREMENT_FILE, MANIFEST = (
    "appendonly.aof.1.base.rdb",
    "appendonly.aof.1.incr.aof",
    "appendonly.aof.manifest",
)
BESIDE = {INCREMENT_FILE: "", MANIFEST: f"file {BASE_FILE} seq 1 type b\nfile {INCREMENT_FILE} seq 1 type i\n"}


class StoreNotLocal(Unavailable):
    """The store's files are not on this machine, or this user may not read them."""


class WrittenBy(BaseModel):
    """The content of `engine.json`: which server wrote the data; older ones cannot read it."""

    model_config = ConfigDict(frozen=True)
    kind: str
    version: list[int]


class BackupFile(BaseModel):
    """A file's size and SHA-256."""

    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str


class Backup(BaseModel):
    """The content of `backup.json`; the store has at least `claims`. `filmgate` is the version that wrote it.

    `way`: its server's files were copied, or it sent a snapshot.
    """

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    made_at: str
    at_ms: int
    store_id: str
    claims: int
    filmgate: str
    server: str
    way: Literal["files", "snapshot"] = "files"
    files: dict[str, BackupFile]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True, slots=True)
class Backups:
    """Copies the files of the store while it runs."""

    store: BackupStore

    async def make(self, target: Path, say: Announce) -> Backup:
        """Copy the store into `target`, a directory that does not exist yet.

        Copies its files where this user can read them on this machine, and asks for a snapshot elsewhere. Describes
        the copy, and renames its directory to the target.

        Raises:
            Conflict: the target exists.
            StoreNotLocal: the files cannot be read here, and the store gives no snapshot.
            Unavailable: the store is away, or its files changed during each of MAX_TRIES copies.
        """
        if await asyncio.to_thread(target.exists):
            raise Conflict(f"{target} is there already; a backup overwrites nothing.")
        place = await self.store.location()
        draft = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
        way: Literal["files", "snapshot"] = "files"
        try:
            try:
                files = await self._copy_files(place, draft, say)
            except StoreNotLocal as error:
                say(f"{error.message} Asking the store for a snapshot …")
                way, files = "snapshot", await self._ask_for_snapshot(draft)
            backup = described(place, way, files)
            engine = WrittenBy(kind=place.kind, version=list(place.version))
            await asyncio.to_thread(finish, draft, target, backup, engine)
        except OSError as error:
            raise Unavailable(f"{target} cannot be written ({error.strerror}).") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        return backup

    async def _copy_files(self, place: AofLocation, draft: Path, say: Announce) -> dict[str, BackupFile]:
        """Copy the server's files.

        1. prevent rewrites, so that the append-only file only grows
        2. write a signature into the store, and find it in the file: the file is this store's
        3. copy the files of the server's manifest into a directory next to the target
        4. the copy must contain the signature, and the manifest must not have changed; or try again

        StoreNotLocal: the files cannot be read here.
        """
        folder = place.folder
        if folder is None or not await asyncio.to_thread(folder.is_dir):
            raise StoreNotLocal("The store's files are not on this machine.")
        async with self.store.no_rewrites():
            for _ in range(MAX_TRIES):
                token = secrets.token_hex(16)
                await self.store.sign(token)
                await _wait_for_signature(folder, token)
                say(f"Copying {folder} …")
                files = await asyncio.to_thread(_copy, folder, draft, token)
                if files is not None:
                    return files
        raise Unavailable("The store's file changed while it was copied; try again.")

    async def _ask_for_snapshot(self, draft: Path) -> dict[str, BackupFile]:
        """The files of a snapshot; StoreNotLocal when the store gives none."""
        try:
            return await asyncio.to_thread(self._write_snapshot, draft)
        except SnapshotRefused as error:
            raise StoreNotLocal(error.message) from None

    def _write_snapshot(self, draft: Path) -> dict[str, BackupFile]:
        """Write what the store sends as the base of an append-only file that has nothing more."""
        inner = draft / FOLDER
        inner.mkdir(mode=0o700, parents=True)
        draft.chmod(0o700)
        with NewFile(inner / BASE_FILE) as base:
            self.store.snapshot(base.write)
        write_small_files(inner)
        return {BASE_FILE: base.facts(), **small_files()}


class ByteTally:
    """Counts and hashes the bytes of a file as they pass."""

    def __init__(self) -> None:
        self._size = 0
        self._digest = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """The next bytes."""
        self._digest.update(piece)
        self._size += len(piece)

    def facts(self) -> BackupFile:
        """What has passed so far."""
        return BackupFile(bytes=self._size, sha256=self._digest.hexdigest())


class NewFile(ByteTally):
    """A new file that only this user may read; FileExistsError when it exists. It is on disk at the block's end."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._writer = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self.add(piece)
        self._writer.write(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._writer:
            if kind is None:
                self._writer.flush()
                os.fsync(self._writer.fileno())


def small_files() -> dict[str, BackupFile]:
    """The files beside the base of a snapshot, which are always the same."""
    return {
        name: BackupFile(bytes=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
        for name, text in BESIDE.items()
    }


def write_small_files(inner: Path) -> None:
    """Write them; they are on disk when this returns."""
    for name, text in BESIDE.items():
        write_private(inner / name, text)


def described(place: AofLocation, way: Literal["files", "snapshot"], files: dict[str, BackupFile]) -> Backup:
    """The description of a copy of the store at this place."""
    return Backup(
        made_at=datetime.fromtimestamp(place.at_ms // 1000, UTC).isoformat().replace("+00:00", "Z"),
        at_ms=place.at_ms,
        store_id=place.store_id,
        claims=place.claims,
        filmgate=__version__,
        server=f"{place.kind.capitalize()} {'.'.join(map(str, place.version))}",
        way=way,
        files=files,
    )


def read_manifest(folder: Path) -> tuple[str, list[str]]:
    """The name of the server's manifest in a folder, and the files that it lists, in order; OSError, ValueError."""
    (manifest,) = folder.glob("*.manifest")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    return manifest.name, [line.split()[1] for line in lines if line.startswith("file ")]


async def _wait_for_signature(folder: Path, token: str) -> None:
    """Wait until the file ends with the signature; StoreNotLocal when it does not."""
    end = time.monotonic() + SIGNATURE_WAIT_S
    while time.monotonic() < end:
        if await asyncio.to_thread(_has_signature, folder, token):
            return
        await asyncio.sleep(POLL_S)
    raise StoreNotLocal(f"The store's files, {folder} on its own machine, cannot be read here by this user.")


def _has_signature(folder: Path, token: str) -> bool:
    try:
        _, names = read_manifest(folder)
        with (folder / names[-1]).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CHUNK))
            return token.encode() in file.read()
    except (OSError, ValueError, IndexError):
        return False


def _copy(folder: Path, draft: Path, token: str) -> dict[str, BackupFile] | None:
    """Copy the manifest's files; None when the manifest changed meanwhile, or the copy lacks the signature."""
    shutil.rmtree(draft, ignore_errors=True)
    inner = draft / FOLDER
    inner.mkdir(mode=0o700, parents=True)
    draft.chmod(0o700)
    try:
        manifest, names = read_manifest(folder)
        before = (folder / manifest).read_bytes()
        files = {name: copy_file(folder / name, inner / name) for name in [*names, manifest]}
        if (folder / manifest).read_bytes() != before:
            return None
    except FileNotFoundError:
        return None
    return files if _has_signature(inner, token) else None


def copy_file(source: Path, target: Path) -> BackupFile:
    """Copy the bytes that the file has now; they are on disk when this returns."""
    with source.open("rb") as reader, NewFile(target) as copy:
        left = os.fstat(reader.fileno()).st_size
        while left and (chunk := reader.read(min(CHUNK, left))):
            copy.write(chunk)
            left -= len(chunk)
    return copy.facts()


def finish(draft: Path, target: Path, backup: Backup, engine: WrittenBy) -> None:
    """Write the descriptions, and rename the directory to the target; it is on disk when this returns."""
    write_private(draft / ENGINE, engine.model_dump_json())
    write_private(draft / DESCRIPTION, backup.model_dump_json(indent=2) + "\n")
    for directory in (draft / FOLDER, draft):
        sync_directory(directory)
    draft.rename(target)
    sync_directory(target.parent)


def write_private(path: Path, text: str) -> None:
    """Write a small file that only this user may read; it is on disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as writer:
        writer.write(text)
        writer.flush()
        os.fsync(writer.fileno())


def check(source: Path) -> Backup:
    """The backup's description, once all its files were compared with it.

    Raises:
        NotFound: it is no backup.
        Conflict: a file is missing or damaged.
    """
    try:
        backup = Backup.model_validate_json((source / DESCRIPTION).read_bytes())
    except (OSError, ValidationError):
        raise NotFound(f"{source} is no backup: its {DESCRIPTION} is not there, or cannot be read.") from None
    for name, file in backup.files.items():
        path = source / FOLDER / name
        if Path(name).name != name or not path.is_file() or _facts(path) != file:
            raise Conflict(f"{source} is damaged: {name} is not as it was written.")
    return backup


def _facts(path: Path) -> BackupFile:
    with path.open("rb") as file:
        return BackupFile(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
