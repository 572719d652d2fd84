"""Parts of unfinished uploads, as files: up to 300 MB in all, which is too much for the store's memory.

This is where they are without a storage (`app/services/stored_parts.py` has them in it). All API processes of one
machine share the folder. Several hosts may share it too; otherwise the store knows which folder has an upload's
parts, and other hosts refuse them. The store also limits the number of unfinished uploads, so that the folder stays
bounded without walking through its files.
"""

import asyncio
import io
import platform
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import structlog

from app.domain.errors import TooLarge, Unavailable, Unprocessable
from app.media.kinds import START_BYTES, is_media, media_type
from app.media.waiting_files import COPY_BYTES, copy_joined, open_waiting_file

MAX_IN_MEMORY = 30 * 1024 * 1024  # bytes of a picture
LIFETIME_S = 3600 + 600  # since the last part; an upload itself may take an hour
SWEEP_S = 60  # between two searches for abandoned uploads

Answer = TypeVar("Answer")

log = structlog.get_logger()


class Parts(Protocol):
    """Where parts are until their upload is complete. `owner` is `team.user`; the other names are our own ids."""

    async def folder_id(self) -> str:
        """Tells this place from others; the store refuses to mix them for one upload."""
        ...

    async def write(self, owner: str, upload: str, number: int, etag: str, content: BinaryIO) -> None:
        """Keep a part; Unavailable when that fails."""
        ...

    def joined(
        self, owner: str, upload: str, parts: Sequence[tuple[int, str]]
    ) -> AbstractAsyncContextManager[bytes | BinaryIO]:
        """The concatenated parts, as `joined_content` gives them."""
        ...

    async def drop(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:
        """Delete an upload's parts."""
        ...


def joined_content(file: BinaryIO) -> bytes | BinaryIO:
    """A picture's bytes, or the file itself where it is a video or sound. Call it in a thread.

    TooLarge when it is neither, and larger than a picture may be.
    """
    file.seek(0)
    if is_media(media_type(file.read(START_BYTES))):
        return file
    if file.seek(0, io.SEEK_END) > MAX_IN_MEMORY:
        raise TooLarge("The file is larger than 30 MB, the most that a picture may have.")
    file.seek(0)
    return file.read()


class PartFolder:
    """`root/team.user/upload/number-etag`, with a lifetime. The names are our own ids."""

    def __init__(self, root: Path, *, lifetime_s: float = LIFETIME_S, sweep_s: float = SWEEP_S) -> None:
        self.root = root
        self._lifetime_s = lifetime_s
        self._sweep_s = sweep_s
        self._swept = 0.0
        self._folder_id = ""

    async def folder_id(self) -> str:
        """The folder's id, by which the store tells it from another host's; Unavailable as in `write`."""
        if not self._folder_id:
            self._folder_id = await self._in_thread(self._read_id)
        return self._folder_id

    async def write(self, owner: str, upload: str, number: int, etag: str, content: BinaryIO) -> None:
        """Keep a part; Unavailable when the folder cannot be written."""
        await self._in_thread(self._write, owner, upload, number, etag, content)

    @asynccontextmanager
    async def joined(
        self, owner: str, upload: str, parts: Sequence[tuple[int, str]]
    ) -> AsyncIterator[bytes | BinaryIO]:
        """The concatenated parts: bytes, or an open file of a video or sound.

        Raises:
            Unprocessable: a part is missing.
            TooLarge: they are no video or sound, and larger than a picture may be.
            Unavailable: there is no room to join them.
        """
        content = await asyncio.to_thread(self._join, owner, upload, parts)
        try:
            yield content
        finally:
            if not isinstance(content, bytes):
                content.close()

    async def drop(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> None:  # noqa: ARG002  all
        """Delete an upload's parts, also those that are not named."""
        await asyncio.to_thread(shutil.rmtree, self.root / owner / upload, ignore_errors=True)

    async def _in_thread(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            log.error("parts.unwritable", folder=str(self.root), reason=error.strerror)  # noqa: TRY400  no traceback
            sentence = "Parts of uploads cannot be kept here at the moment; send the file in one go."
            raise Unavailable(sentence, retry_after=60) from None

    def _read_id(self) -> str:
        """The id stored in the folder, created by the first process with an atomic link."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self.root / ".place"
        if not name.exists():
            draft = self.root / f".place-{secrets.token_hex(8)}"
            draft.write_text(f"{platform.node()} {secrets.token_hex(8)}")
            with suppress(FileExistsError):
                name.hardlink_to(draft)
            draft.unlink()
        return name.read_text()

    def _write(self, owner: str, upload: str, number: int, etag: str, content: BinaryIO) -> None:
        self._sweep()
        folder = self.root / owner / upload
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for older in folder.glob(f"{number}-*"):
            older.unlink(missing_ok=True)
        unfinished = folder / f".{number}-{etag}"
        content.seek(0)
        with unfinished.open("wb") as kept:
            shutil.copyfileobj(content, kept, COPY_BYTES)
        unfinished.rename(folder / f"{number}-{etag}")

    def _join(self, owner: str, upload: str, parts: Sequence[tuple[int, str]]) -> bytes | BinaryIO:
        paths = [self.root / owner / upload / f"{number}-{etag}" for number, etag in parts]
        for path, (number, _) in zip(paths, parts, strict=True):
            if not path.exists():
                raise Unprocessable(f"Part {number} is not on this machine; send it again.")
        file = open_waiting_file(self.root)
        try:
            copy_joined(paths, file)
            content = joined_content(file)
        except BaseException:
            file.close()
            raise
        if isinstance(content, bytes):
            file.close()
        return content

    def _sweep(self) -> None:
        """Delete the folders of abandoned uploads, at most every `sweep_s`."""
        now = time.time()
        if now - self._swept < self._sweep_s:
            return
        self._swept = now
        for folder in self.root.glob("*/*"):
            if _changed(folder) < now - self._lifetime_s:
                shutil.rmtree(folder, ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # gone meanwhile
