"""Uploaded files in the storage: kept for their team's retention, however long fal keeps its copy.

fal reads an uploaded file from its own storage, which keeps it for about a week. The file here is the one that any
host can send there again, that counts against the team's storage limit, and that goes with the job that is erased.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.domain.errors import NotFound, StoreUnavailable, Unavailable
from app.domain.ids import new_id
from app.media.storage import NothingStored, Storage
from app.media.waiting_files import open_waiting_file
from app.store.kept_files import KeptFileStore


@dataclass(frozen=True, slots=True)
class KeptUpload:
    """A file in the storage: its name there, and its bytes."""

    name: str
    size: int


class KeptUploads:
    """Writes and reads uploaded files; large ones wait in a file without a name below `waiting`."""

    def __init__(self, storage: Storage, kept: KeptFileStore, waiting: Path) -> None:
        self._storage = storage
        self._kept = kept
        self._waiting = waiting

    async def write(self, team: str, content: bytes | BinaryIO, *, content_type: str, suffix: str) -> KeptUpload:
        """Write a file; unless `keep` follows within two hours, it is deleted.

        Raises:
            Forbidden: `over_storage`, the team's storage limit is reached.
            StorageAway: it was not written.
        """
        size = len(content) if isinstance(content, bytes) else content.seek(0, io.SEEK_END)
        file = KeptUpload(f"files/{team}/{new_id('file')}.{suffix}", size)
        await self._kept.hold(file.name, size)
        try:
            await self._storage.put(file.name, content, content_type=content_type)
        except BaseException:
            await self.drop_quietly([file.name])
            raise
        return file

    async def keep(self, file: KeptUpload) -> int:
        """Keep it for its team's retention, in seconds; Unavailable when its two hours were over."""
        stays_ms = await self._kept.keep(file.name, file.size)
        if not stays_ms:
            raise Unavailable("The file took too long to be stored; send it again.")
        return stays_ms // 1000

    async def drop(self, names: Sequence[str]) -> None:
        """Have files deleted soon, also when the storage is away now."""
        await self._kept.drop(names)

    async def drop_quietly(self, names: Sequence[str]) -> None:
        """Have files deleted soon that nobody will name; if the store is away, their time does."""
        with suppress(StoreUnavailable):
            await asyncio.shield(self.drop(names))

    @asynccontextmanager
    async def copy(self, name: str) -> AsyncIterator[BinaryIO]:
        """The file, copied to this host's disk; NotFound when it is not kept any more."""
        file = await asyncio.to_thread(open_waiting_file, self._waiting)
        try:
            async with self._storage.read(name) as (_, chunks):
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
            yield file
        except NothingStored:
            raise NotFound("The uploaded file is not kept any more; upload it again.") from None
        finally:
            file.close()
