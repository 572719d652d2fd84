"""The first frame of a clip as a small JPEG: what players show before they play."""

import asyncio
import importlib.util
import json
from dataclasses import dataclass
from typing import Any, BinaryIO

import structlog

from app.media.apart import run_apart

CONTAINERS = {  # by media type: the one reader of FFmpeg that may open it
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
}
MAX_PIXELS = 16_800_000  # of a frame: 4,096 by 4,096
MAX_SIDE = 1280  # pixels of a poster
MAX_BYTES = 1_000_000  # of a poster; a usual one has 50 KB to 300 KB
MEMORY = 1_000 * 1024 * 1024  # bytes of address space of the process; a usual clip's frame takes 80 MB
PROCESSOR_S = 10
WALL_S = 20.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Poster:
    """A JPEG, and its size in pixels."""

    content: bytes
    width: int
    height: int


def can_make_posters() -> bool:
    """True when the decoder is installed: PyAV, of the extra `posters`."""
    return importlib.util.find_spec("av") is not None


async def make_poster(clip: BinaryIO, content_type: str) -> Poster | None:
    """The poster of a video on this machine's disk; None for a sound, and for a frame that cannot be decoded."""
    if content_type not in CONTAINERS:
        return None
    limits = {
        "clip": CONTAINERS[content_type],
        "pixels": MAX_PIXELS,
        "side": MAX_SIDE,
        "bytes": MAX_BYTES,
        "memory": MEMORY,
        "seconds": PROCESSOR_S,
    }
    try:
        async with asyncio.timeout(WALL_S):
            status, answer = await run_apart(clip, limits)
    except (TimeoutError, OSError) as error:
        log.warning("clip.no_poster", reason=type(error).__name__)
        return None
    head, _, made = answer.partition(b"\n")
    facts: dict[str, Any] = json.loads(head) if status == 0 and head else {"refused": f"status {status}"}
    if "refused" in facts or not made or len(made) > MAX_BYTES:
        log.warning("clip.no_poster", reason=facts.get("refused", f"{len(made)} bytes"))
        return None
    return Poster(made, facts["width"], facts["height"])
