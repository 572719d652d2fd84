"""Files as they arrive: a picture in memory, a video or a sound on the disk, by its first bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Scope

from app.api.incoming import FILE_LIMIT, INCOMING, Incoming
from app.domain.errors import Malformed
from app.media.kinds import START_BYTES, is_media, media_type
from app.media.waiting_files import open_waiting_file

WRITE_BYTES = 1024 * 1024  # that are collected before a thread writes them
Content: TypeAlias = bytes | BinaryIO


@asynccontextmanager
async def arriving_file(request: Request, folder: Path) -> AsyncIterator[Content]:
    """The body: bytes, or a file below `folder` if it is a video or a sound; the file is gone afterwards.

    Raises TooLarge, Unavailable.
    """
    async with _arriving(request, folder, is_part=False) as content:
        yield content


@asynccontextmanager
async def arriving_part(request: Request, folder: Path) -> AsyncIterator[BinaryIO]:
    """The body in a file below `folder`: fal's clients send ten parts at once. Raises TooLarge, Unavailable."""
    incoming_of(request.scope).require_small()
    async with _arriving(request, folder, is_part=True) as content:
        yield cast("BinaryIO", content)


@asynccontextmanager
async def _arriving(request: Request, folder: Path, *, is_part: bool) -> AsyncIterator[Content]:
    pieces: list[bytes] = []
    size, file, decided = 0, None, is_part
    try:
        if is_part:
            incoming_of(request.scope).spill()
            file = open_waiting_file(folder)
        async with aclosing(request.stream()) as stream:
            async for piece in stream:
                pieces.append(piece)
                size += len(piece)
                if not decided and size >= START_BYTES:
                    decided, file = True, _file_for(b"".join(pieces), request.scope, folder)
                if file is not None and size >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, b"".join(pieces))
                    pieces, size = [], 0
        content = b"".join(pieces)
        if not decided:
            file = _file_for(content, request.scope, folder)
        if file is None:
            yield content
        else:
            await asyncio.to_thread(file.write, content)
            yield file
    finally:
        if file is not None:
            file.close()


class FormReader(MultiPartParser):
    """Reads a form's files into memory, which costs half the CPU of the disk; videos and sounds to the disk."""

    spool_max_size = FILE_LIMIT

    def __init__(self, request: Request, folder: Path, *, max_files: int, max_fields: int) -> None:
        super().__init__(request.headers, request.stream(), max_files=max_files, max_fields=max_fields)
        self._scope = request.scope
        self._folder = folder
        self._begun = 0

    async def read(self) -> FormData:
        """The form; Malformed when it cannot be read."""
        async with aclosing(self.stream):
            try:
                return await self.parse()
            except MultiPartException:
                raise Malformed("The form cannot be read.") from None

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Decide about a file at its first bytes."""
        super().on_part_data(data, start, end)
        if len(self._files_to_close_on_error) > self._begun:
            self._begun = len(self._files_to_close_on_error)
            part = self._current_part.file
            file = _file_for(data[start:end], self._scope, self._folder)
            if part is not None and file is not None:
                self._files_to_close_on_error.append(cast("Any", file))  # it is only closed
                self._begun += 1
                part.file.close()
                part.file = file


def incoming_of(scope: Scope) -> Incoming:
    """The request's own Incoming."""
    incoming: Incoming = scope[INCOMING]
    return incoming


def _file_for(start: bytes, scope: Scope, folder: Path) -> BinaryIO | None:
    """A file for a video or a sound that begins so, which may be large; None for what stays in memory."""
    incoming = incoming_of(scope)
    if not is_media(media_type(start[:START_BYTES])):
        incoming.require_small()
        return None
    incoming.spill()
    return open_waiting_file(folder)
