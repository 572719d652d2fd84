"""Parts of unfinished uploads in the storage: any host may take any part, and complete the upload.

Each part is an object, `parts/TEAM/UPLOAD/NUMBER-ETAG`. It counts against its team's storage limit until the
upload is complete. Those of an abandoned upload are deleted when its hour is over.
"""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import structlog

from app.domain.errors import Unprocessable
from app.media.parts import LIFETIME_S, joined_content
from app.media.storage import NothingStored, Storage
from app.media.waiting_files import open_waiting_file
from app.store.kept_files import KeptFileStore

UNKNOWN_TYPE = "application/octet-stream"

log = structlog.get_logger()


class StoredParts:
    """Parts in the storage; they are joined in a file without a name below `waiting`."""

    def __init__(self, storage: Storage, kept: KeptFileStore, waiting: Path) -> None:
        self._storage = storage
        self._kept = kept
        self._waiting = waiting

    async def folder_id(self) -> str:
        """Which storage it is, so that hosts with different settings do not mix the parts of one upload."""
        return f"storage {hashlib.sha256(str(self._storage.address).encode()).hexdigest()[:16]}"

    async def write(self, owner: str, upload: str, number: int, etag: str, content: BinaryIO) -> None:
        """Keep a part.

        Raises:
            Forbidden: `over_storage`, the team's storage limit is reached.
            StorageAway: it was not kept; it can be sent again.
        """
        name = _name(owner, upload, number, etag)
        size = content.seek(0, io.SEEK_END)
        await self._kept.hold(name, size, lifetime_ms=LIFETIME_S * 1000)
        await self._storage.put(name, content, content_type=UNKNOWN_TYPE)

    @asynccontextmanager
    async def joined(
        self, owner: str, upload: str, parts: Sequence[tuple[int, str]]
    ) -> AsyncIterator[bytes | BinaryIO]:
        """The concatenated parts: bytes, or an open file of a video or sound.

        Raises:
            Unprocessable: a part is missing, or is not what was sent.
            TooLarge: they are no video or sound, and larger than a picture may be.
            StorageAway: a part cannot be read now.
        """
        file = await asyncio.to_thread(open_waiting_file, self._waiting)
        try:
            for number, etag in parts:
                await self._copy(_name(owner, upload, number, etag), number, etag, file)
            content = await asyncio.to_thread(joined_content, file)
            await self._kept.discount([_name(owner, upload, number, etag) for number, etag in parts])
            yield content
        finally:
            file.close()

    async def _copy(self, name: str, number: int, etag: str, file: BinaryIO) -> None:
        """Append a part to the file; its ETag is the beginning of its SHA-256."""
        digest = hashlib.sha256()
        try:
            async with self._storage.read(name) as (_, chunks):
                async for chunk in chunks:
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        except NothingStored:
            raise Unprocessable(f"Part {number} is not in the storage; send it again.") from None
        if digest.hexdigest()[: len(etag)] != etag:
            log.error("parts.changed", part=name)
            raise Unprocessable(f"Part {number} is not what was sent; send it again.")

    async def drop(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        """Have these parts deleted soon; those that were replaced meanwhile go when their hour is over."""
        await self._kept.drop([_name(owner, upload, number, etag) for number, etag in parts])


def _name(owner: str, upload: str, number: int, etag: str) -> str:
    return f"parts/{owner.partition('.')[0]}/{upload}/{number}-{etag}"
