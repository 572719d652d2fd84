"""Uploads by fal's clients: a file, and the parts of it that have arrived."""

from dataclasses import dataclass
from typing import Literal

from app.domain.accounts import Caller

PartOutcome = Literal["taken", "too_large", "finished", "missing", "elsewhere", "too_many", "full"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part that has arrived: its number, its ETag and its size in bytes."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload of one file, or the permission for any number; `url` is where fal reads the file once it arrived.

    `place` names the data directory, or the storage, that has its parts; None before the first. `sent_ms` is when
    the file was sent to fal, None where it is not kept here and could not be sent again.
    """

    id: str
    caller: Caller
    name: str = ""
    url: str | None = None
    sha256: str | None = None
    parts: tuple[Part, ...] = ()
    place: str | None = None
    sent_ms: int | None = None
