"""A file at fal, read as it arrives, from any byte on."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from app.fal.errors import cause_of
from app.fal.web import KeptConnections

SILENCE_SECONDS = 20.0  # between two pieces
PIECE_BYTES = 256 * 1024
WHOLE, PART = 200, 206
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")
_LENGTH = re.compile(r"[0-9]{1,15}")


class FileNotRead(Exception):
    """fal did not give the file, or not all of it; the message says why. `status` is fal's, if it answered."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What arrives: bytes from `start` on, of `total` in all if that is known."""

    start: int
    total: int | None
    etag: str | None
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def open_file(
    connections: KeptConnections, url: str, *, start: int, etag: str | None
) -> AsyncIterator[FileAnswer]:
    """The file from byte `start` on, where fal still has the one with this etag; otherwise from its beginning.

    Without a key and without redirects. Raises FileNotRead, also in the middle.
    """
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    if start and etag is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": etag}
    try:
        async with connections.stream("GET", url, headers=headers) as answer:
            if answer.status not in {WHOLE, PART}:
                raise FileNotRead(f"fal answered {answer.status}", status=answer.status)
            first, total = _extent(answer)
            yield FileAnswer(first, total, answer.headers.get("ETag"), _pieces(answer))
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        raise FileNotRead(f"the connection to fal broke ({cause_of(error)})") from None


def _extent(answer: aiohttp.ClientResponse) -> tuple[int, int | None]:
    """The first byte, and how many there are in all."""
    length = answer.headers.get("Content-Length", "")
    if answer.status == WHOLE:
        return 0, int(length) if _LENGTH.fullmatch(length) else None
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None:
        raise FileNotRead("fal sent a part of the file without saying which")
    return int(found[1]), int(found[2])


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(SILENCE_SECONDS):
            piece = await answer.content.read(PIECE_BYTES)
        if not piece:
            return
        yield piece
