"""Uploads of fal's clients: a place for one file, and the parts that came."""

from dataclasses import dataclass
from typing import Literal

from app.domain.accounts import Caller

PartOutcome = Literal["taken", "too_large", "finished", "missing", "elsewhere", "too_many", "full"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part that has come: its number, its ETag and its bytes."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A place for one file, or a permission to bring any; `url` is where fal reads it, once it is there.

    `place` is the folder that has its parts, None before the first.
    """

    id: str
    caller: Caller
    name: str = ""
    url: str | None = None
    sha256: str | None = None
    parts: tuple[Part, ...] = ()
    place: str | None = None
