"""Times in queries and bodies: ISO 8601 with a zone outside, milliseconds inside."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from app.domain.errors import invalid_at

LONGEST_TIME = 40  # characters


def _milliseconds(text: object) -> object:
    """Of an ISO 8601 time with its zone."""
    if isinstance(text, str) and len(text) <= LONGEST_TIME:
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None and moment.timestamp() >= 0:
                return round(moment.timestamp() * 1000)
    raise ValueError("A time is written with its zone, such as 2026-11-22T12:00:00Z")


_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
Moment = Annotated[int, BeforeValidator(_milliseconds), _TIME]


def require_order(start: int | None, end: int | None, *, where: str = "/query/from") -> None:
    """Unprocessable, with `where` as its pointer, for a range of time that ends before it begins."""
    if start is not None and end is not None and start >= end:
        raise invalid_at(where, "out_of_range", "The range of time ends before it begins.")
