"""Backups of a running store: its append-only file, copied whole, with a list that says what it is.

A backup is a directory: `appendonlydir/` as the server wrote it, `engine.json` (which server wrote it), and
`backup.json`, written last: when, of which store, and every file with its size and SHA-256.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import __version__
from app.domain.errors import Conflict, NotFound, Unavailable
from app.store.backup import AofLocation, BackupStore
from app.store.witness import sync_directory

LIST = "backup.json"
ENGINE = "engine.json"
FOLDER = "appendonlydir"
FORMAT = 1
PART = 1 << 20
SIGNED_WITHIN_S = 5.0  # a server may put off a write while the disk is busy
LOOK_S = 0.05
TRIES = 3

Announce = Callable[[str], None]


class Elsewhere(Unavailable):
    """The store's files are not on this machine, or not for this user to read."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup's list says. `files` maps names to bytes and SHA-256; `claims` are known at least."""

    made_at: str
    at_ms: int
    store_id: str
    claims: int
    version: str
    server: str
    files: dict[str, tuple[int, str]]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(size for size, _ in self.files.values())

    def as_json(self) -> dict[str, Any]:
        """As it is written down."""
        return {
            "format": FORMAT,
            "made_at": self.made_at,
            "at_ms": self.at_ms,
            "store_id": self.store_id,
            "claims": self.claims,
            "filmgate": self.version,
            "server": self.server,
            "files": {name: {"bytes": size, "sha256": sha} for name, (size, sha) in self.files.items()},
        }


class Backups:
    """Copies the files of the store while it runs."""

    def __init__(self, store: BackupStore) -> None:
        self._store = store

    async def make(self, target: Path, say: Announce) -> Backup:
        """Copy the store into `target`, a directory that is not there yet.

        1. sign the store, and find the signature in the file: it is this store's, on this machine
        2. no rewrite begins meanwhile, so that the file only grows
        3. copy what the server's own list names, into a directory beside the target, on disk
        4. the copy must reach up to the signature, and the server's list must still be the same
        5. write our list, and give the directory its name

        Raises:
            Conflict: the target is there.
            Elsewhere: the files cannot be read here.
            Unavailable: the store is away, or its file changed under the copy three times.
        """
        if await asyncio.to_thread(target.exists):
            raise Conflict(f"{target} is there already; a backup overwrites nothing.")
        place = await self._store.place()
        folder = place.folder
        if folder is None:
            raise Elsewhere("The store keeps no append-only file, so there is nothing to copy.")
        draft = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
        try:
            async with self._store.unchanging():
                for _ in range(TRIES):
                    token = secrets.token_hex(16)
                    await self._store.sign(token)
                    await _until_signed(folder, token)
                    say(f"Copying {folder} …")
                    files = await asyncio.to_thread(_copy, folder, draft, token)
                    if files is not None:
                        break
                else:
                    raise Unavailable("The store's file changed while it was copied; try again.")
            backup = _described(place, files)
            await asyncio.to_thread(_finish, draft, target, backup, place)
        except OSError as error:
            raise Unavailable(f"{target} cannot be written ({error.strerror}).") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
        return backup


def _described(place: AofLocation, files: dict[str, tuple[int, str]]) -> Backup:
    moment = datetime.fromtimestamp(place.at_ms / 1000, UTC)
    return Backup(
        made_at=moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        at_ms=place.at_ms,
        store_id=place.store_id,
        claims=place.claims,
        version=__version__,
        server=f"{place.kind.capitalize()} {'.'.join(map(str, place.version))}",
        files=files,
    )


def listed(folder: Path) -> tuple[str, list[str]]:
    """The name of the server's own list in a folder, and the files that it names, in order; OSError, ValueError."""
    (manifest,) = folder.glob("*.manifest")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    return manifest.name, [line.split()[1] for line in lines if line.startswith("file ")]


async def _until_signed(folder: Path, token: str) -> None:
    """Wait for the signature to stand at the end of the file; Elsewhere when it does not come."""
    end = time.monotonic() + SIGNED_WITHIN_S
    while time.monotonic() < end:
        if await asyncio.to_thread(_has_signature, folder, token):
            return
        await asyncio.sleep(LOOK_S)
    raise Elsewhere(f"The store's files, {folder} on its own machine, cannot be read here by this user.")


def _has_signature(folder: Path, token: str) -> bool:
    try:
        _, names = listed(folder)
        with (folder / names[-1]).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - PART))
            return token.encode() in file.read()
    except (OSError, ValueError, IndexError):
        return False


def _copy(folder: Path, draft: Path, token: str) -> dict[str, tuple[int, str]] | None:
    """Copy what the server's list names; None when the list changed meanwhile, or the copy ends too early."""
    shutil.rmtree(draft, ignore_errors=True)
    inner = draft / FOLDER
    inner.mkdir(mode=0o700, parents=True)
    draft.chmod(0o700)
    try:
        manifest, names = listed(folder)
        before = (folder / manifest).read_bytes()
        files = {name: copy_file(folder / name, inner / name) for name in [*names, manifest]}
        if (folder / manifest).read_bytes() != before:
            return None
    except FileNotFoundError:
        return None
    return files if _has_signature(inner, token) else None


def copy_file(source: Path, target: Path) -> tuple[int, str]:
    """Copy the bytes that are there now, on disk when this returns; their number and SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as reader:
        left = size = os.fstat(reader.fileno()).st_size
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as writer:
            while left and (part := reader.read(min(PART, left))):
                digest.update(part)
                writer.write(part)
                left -= len(part)
            writer.flush()
            os.fsync(writer.fileno())
    return size - left, digest.hexdigest()


def _finish(draft: Path, target: Path, backup: Backup, place: AofLocation) -> None:
    write_private(draft / ENGINE, json.dumps({"kind": place.kind, "version": list(place.version)}))
    write_private(draft / LIST, json.dumps(backup.as_json(), indent=2) + "\n")
    for directory in (draft / FOLDER, draft):
        sync_directory(directory)
    draft.rename(target)
    sync_directory(target.parent)


def write_private(path: Path, text: str) -> None:
    """Write a small file for this user alone, on disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as writer:
        writer.write(text)
        writer.flush()
        os.fsync(writer.fileno())


def check(source: Path) -> Backup:
    """What the backup's list says, once every file was found as it says.

    Raises:
        NotFound: it is no backup.
        Conflict: it is not whole.
    """
    try:
        written = json.loads((source / LIST).read_text(encoding="utf-8"))
        backup = Backup(
            made_at=str(written["made_at"]),
            at_ms=int(written["at_ms"]),
            store_id=str(written["store_id"]),
            claims=int(written["claims"]),
            version=str(written["filmgate"]),
            server=str(written["server"]),
            files={name: (int(one["bytes"]), str(one["sha256"])) for name, one in written["files"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise NotFound(f"{source} is no backup: its {LIST} is not there, or cannot be read.") from None
    for name, (size, sha) in backup.files.items():
        path = source / FOLDER / name
        if Path(name).name != name or not path.is_file() or path.stat().st_size != size or _sha(path) != sha:
            raise Conflict(f"{source} is damaged: {name} is not as it was written.")
    return backup


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
