"""Copies of finished clips: from fal to a file on the disk, and from there to the storage, if it is a clip."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import structlog

from app.domain.clips import KeptFile
from app.domain.errors import Forbidden, Unavailable, Unprocessable
from app.domain.kept_files import team_of
from app.fal.client import FalClient
from app.fal.files import FileNotRead
from app.media.kinds import START_BYTES, is_media, media_type
from app.media.lengths import Measures, is_cut_off, measure
from app.media.storage import Storage
from app.media.waiting_files import open_waiting_file

CLIP_LIMIT = 1024**3  # bytes; Kling's longest clips have a tenth of it
TRIES = 5  # of one download, each from where the last one broke
PAUSE_S = 0.5  # before the second, doubled for each further one
BYTES_A_SECOND = 500_000
FIXED_SECONDS = 60.0
GONE = frozenset({401, 403, 404, 410})  # no second try within this one
LONGEST_SECONDS = FIXED_SECONDS + CLIP_LIMIT / BYTES_A_SECOND

Hold = Callable[[str, int], Awaitable[None]]

log = structlog.get_logger()


class NotCopied(Exception):
    """The file was not copied this time; the message says why, for operators.

    `refused`: what fal gave is no such file, and will hardly become one.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class NoRoom(NotCopied):
    """The storage limit of the file's team is reached."""


@contextmanager
def room_for(key: str) -> Iterator[None]:
    """Make NoRoom, with a sentence for operators, of the refusal of a file that would be too much."""
    try:
        yield
    except Forbidden:
        raise NoRoom(
            f"the storage limit of {team_of(key)} is reached; raise it (`filmgate teams update`), or let the team "
            "delete jobs and uploaded files"
        ) from None


@dataclass
class _Download:
    """What has arrived of one file."""

    file: BinaryIO
    size: int = 0
    total: int | None = None
    etag: str | None = None
    digest: Any = field(default_factory=hashlib.sha256)

    def restart(self) -> None:
        """Begin again: fal has another file now, or sends whole ones only."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self.digest = 0, hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        """Some more bytes; NotCopied when they are too many, or have no room on the disk."""
        if self.size + len(chunk) > CLIP_LIMIT:
            raise NotCopied(f"it has more than {CLIP_LIMIT} bytes", refused=True)
        try:
            self.file.write(chunk)
        except OSError as error:
            raise NotCopied(f"the disk of FILMGATE_DATA_DIR takes no file: {error.strerror}") from None
        self.digest.update(chunk)
        self.size += len(chunk)


class ClipCopies:
    """Copies files of fal's to the storage; `folder` is where one waits in between, without a name.

    `hold` counts a file's bytes before it is written; Forbidden when its team may keep no more.
    """

    def __init__(self, fal: FalClient, storage: Storage, *, folder: Path, hold: Hold) -> None:
        self._fal = fal
        self._storage = storage
        self._hold = hold
        self._folder = folder

    def waiting_file(self) -> AbstractContextManager[BinaryIO]:
        """A file on this disk for `copy`, for whoever needs it afterwards; NotCopied where there is no room."""
        return _waiting_file(self._folder)

    async def copy(self, url: str, key: str, *, through: BinaryIO | None = None) -> KeptFile:
        """Publish a copy of the file at `url` under `key`, whole or not at all, `through` a file on this disk.

        1. download it, again from where it broke, up to CLIP_LIMIT bytes
        2. check by its bytes that it is a video or a sound and not cut off, and measure it
        3. count it, unless its team's storage limit is reached
        4. write it to the storage, which says how many bytes it has

        Raises:
            NotCopied: fal does not give it now, it is no clip, or its team may keep no more.
            StorageAway: the storage does not take it.
        """
        with nullcontext(through) if through else self.waiting_file() as file:
            found = await self._download(url, file)
            kind, measures = await asyncio.to_thread(_check, file)
            with room_for(key):
                await self._hold(key, found.size)
            stored = await self._storage.put(key, file, content_type=kind)
        return KeptFile(
            size=found.size,
            sha256=found.digest.hexdigest(),
            content_type=kind,
            at_ms=stored.modified_ms,
            seconds=None if measures.seconds is None else str(measures.seconds),
            width=measures.width,
            height=measures.height,
        )

    async def _download(self, url: str, file: BinaryIO) -> _Download:
        """The whole file; NotCopied after TRIES breaks in a row without a byte, or when it takes too long."""
        found, breaks = _Download(file), 0
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                while True:
                    before = found.size
                    try:
                        await self._read(url, found)
                    except FileNotRead as error:
                        breaks = breaks + 1 if found.size <= before else 1
                        if breaks >= TRIES or error.status in GONE:
                            raise NotCopied(str(error)) from None
                        log.info("clip.broken", reason=str(error), bytes=found.size)
                        await asyncio.sleep(PAUSE_S * 2 ** (breaks - 1))
                    else:
                        return found
        except TimeoutError:
            raise NotCopied(f"it did not arrive within {LONGEST_SECONDS:.0f} s") from None

    async def _read(self, url: str, found: _Download) -> None:
        """Read from where the last attempt broke, to the end that fal has announced."""
        async with self._fal.file(url, start=found.size, etag=found.etag) as answer:
            if answer.start != found.size:
                found.restart()
            if answer.total is not None and answer.total > CLIP_LIMIT:
                raise NotCopied(f"it has {answer.total} bytes, more than {CLIP_LIMIT}", refused=True)
            found.total, found.etag = answer.total, answer.etag
            async for piece in answer.pieces:
                found.add(piece)
        if found.total is not None and found.size != found.total:
            raise FileNotRead(f"fal sent {found.size} of {found.total} bytes")


@contextmanager
def _waiting_file(folder: Path) -> Iterator[BinaryIO]:
    try:
        file = open_waiting_file(folder)
    except Unavailable:
        raise NotCopied("the disk of FILMGATE_DATA_DIR has no room for it") from None
    with file:
        yield file


def _check(file: BinaryIO) -> tuple[str, Measures]:
    """The media type and the measures; NotCopied when it is no clip, or not all of it."""
    file.seek(0)
    start = file.read(START_BYTES)
    kind = media_type(start)
    if kind is None or not is_media(kind):
        shown = start[:16].decode("ascii", "backslashreplace")
        raise NotCopied(f'it is no video or sound; it begins with "{shown}"', refused=True)
    try:
        measures = measure(file, kind)
    except Unprocessable:
        raise NotCopied("it is cut off, or broken", refused=True) from None
    if is_cut_off(file, kind):
        raise NotCopied("it is cut off", refused=True)
    return kind, measures
