"""Uploaded files: what is known of one after it was checked."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

FileKind: TypeAlias = Literal["image", "video", "audio"]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that fal can read, by what its bytes say.

    `type` is its media type, `size` is in bytes, `seconds` is the length that its container declares, None for a
    picture and where the container does not say; `width` and `height` are in pixels as displayed, None for sound
    and where they could not be read.
    """

    kind: FileKind
    type: str
    size: int
    seconds: Decimal | None = None
    width: int | None = None
    height: int | None = None
