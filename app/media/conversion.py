"""Makes a JPEG or PNG of other pictures: HEIC, HEIF, AVIF, GIF, BMP, TIFF, and animated PNG and WebP.

Each picture is decoded in a process of its own (`apart.py`).
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from app.domain.errors import Code, Unavailable, Unprocessable
from app.media.apart import run_apart
from app.media.kinds import CONVERTED, START_BYTES, media_type

READERS = {  # by media type: Pillow's name of the one reader that may open it
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/avif": "AVIF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/png": "PNG",
    "image/webp": "WEBP",
}
MAX_PIXELS = 50_500_000  # of a picture that is converted: a phone's largest usual one, 8,192 by 6,144, is below
MAX_SIDE = 4096  # pixels of the result; no clip has more
USUAL_BYTES = 10_000_000  # of the result, which the models with the least read
MEMORY = 1_000 * 1024 * 1024  # bytes of address space of the process; a phone's usual picture takes 130 MB
PROCESSOR_S = 15
WALL_S = 20.0
WAIT_S = 20.0  # for a turn; both together are less than a client waits for its reply
AT_ONCE = 2  # in this process of ours; one of a caller
WAITING = 8  # of a caller: its bodies are in memory meanwhile
RETRY_AFTER_S = 10

SENTENCES = {
    "too_many_pixels": (
        f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller, or save it as JPEG.",
        Code.IMAGE_TOO_LARGE,
    ),
    "too_much_memory": (
        "The picture takes too much memory to convert; save it as JPEG or PNG.",
        Code.IMAGE_TOO_LARGE,
    ),
    "too_slow": ("The picture takes too long to convert; save it as JPEG or PNG.", Code.UNSUPPORTED_IMAGE),
    "raw": ("This is a camera's raw file; save the picture as JPEG or PNG.", Code.UNSUPPORTED_IMAGE),
    "too_deep": (
        "The picture has 32 bits a channel; save it with 8 or 16, or as JPEG or PNG.",
        Code.UNSUPPORTED_IMAGE,
    ),
    "broken": ("This picture cannot be read: it is cut off, broken, or of a rare kind.", Code.NOT_AN_IMAGE),
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Converted:
    """The JPEG or PNG that was made, its media type, and its size in pixels."""

    content: bytes
    content_type: str
    width: int
    height: int


def convertible(content: bytes) -> str | None:
    """The media type of a picture that has to be converted; None for JPEG, PNG, WebP and what is no picture."""
    found = media_type(content[:START_BYTES])
    return found if found in CONVERTED else None


class PictureConverter:
    """Converts pictures, a few at once and one of each caller, so that nobody has the machine alone."""

    def __init__(self, *, at_once: int = AT_ONCE, wall_s: float = WALL_S, wait_s: float = WAIT_S) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._wall_s = wall_s
        self._wait_s = wait_s
        self._waiting: Counter[str] = Counter()
        self._own: dict[str, asyncio.Lock] = {}

    async def convert(self, content: bytes, *, content_type: str, caller: str) -> Converted:
        """The first frame, upright and in sRGB, without metadata; at most MAX_SIDE pixels a side.

        `caller` is whose turn it is: a key's id.

        Raises:
            Unprocessable: `not_an_image`, `unsupported_image` or `image_too_large`, with what to do instead.
            Unavailable: too many pictures are being converted, or no process could be started.
        """
        async with self._turn(caller):
            try:
                async with asyncio.timeout(self._wall_s):
                    status, answer = await run_apart(content, _limits(READERS[content_type]))
            except TimeoutError:
                raise _refusal("too_slow") from None
            except OSError as error:
                log.error("pictures.no_process", reason=error.strerror)  # noqa: TRY400  no traceback
                raise Unavailable("Pictures cannot be converted at the moment.", retry_after=60) from None
        head, _, made = answer.partition(b"\n")
        if status != 0 or not head:
            log.warning("pictures.process_ended", type=content_type, status=status)
            raise _refusal("too_slow" if status == -signal.SIGXCPU else "broken")
        facts = json.loads(head)
        if "refused" in facts:
            raise _refusal(facts["refused"])
        return Converted(made, facts["type"], facts["width"], facts["height"])

    @asynccontextmanager
    async def _turn(self, caller: str) -> AsyncIterator[None]:
        """A turn for this caller; Unavailable when it would have to wait too long."""
        busy = Unavailable("Other pictures are being converted; send this one again.", retry_after=RETRY_AFTER_S)
        if self._waiting[caller] >= WAITING:
            raise busy
        self._waiting[caller] += 1
        own = self._own.setdefault(caller, asyncio.Lock())
        try:
            try:
                async with asyncio.timeout(self._wait_s) as waiting, own, self._turns:
                    waiting.reschedule(None)
                    yield
            except TimeoutError:
                raise busy from None
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller], self._own[caller]


def _limits(reader: str) -> dict[str, Any]:
    return {
        "format": reader,
        "pixels": MAX_PIXELS,
        "side": MAX_SIDE,
        "bytes": USUAL_BYTES,
        "memory": MEMORY,
        "seconds": PROCESSOR_S,
    }


def _refusal(reason: str) -> Unprocessable:
    sentence, code = SENTENCES.get(reason, SENTENCES["broken"])
    return Unprocessable(sentence, code=code)
