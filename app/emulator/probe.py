"""Reads videos and sounds that inputs name. Loaded with the first of them."""

from decimal import Decimal
from pathlib import Path

import av
from PIL import Image

MILLISECOND = Decimal("0.001")


def length_of(path: Path) -> Decimal | None:
    """Seconds of a video or sound by its container; None for a file that is neither."""
    try:
        with av.open(str(path)) as container:
            if container.duration is None:
                return None
            return (Decimal(container.duration) / av.time_base).quantize(MILLISECOND)
    except (av.error.FFmpegError, ValueError):
        return None


def first_frame(path: Path) -> Image.Image | None:
    """The first picture of a video; None without one."""
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV has no type for it
                return picture
    except (av.error.FFmpegError, ValueError, IndexError):
        return None
    return None
