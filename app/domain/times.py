"""Times: whole milliseconds inside, ISO 8601 in UTC outside."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload


@overload
def iso(milliseconds: int) -> str: ...
@overload
def iso(milliseconds: int | None) -> str | None: ...
def iso(milliseconds: int | None) -> str | None:
    """`2026-11-22T12:00:00.000Z`, or None."""
    if milliseconds is None:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Cached, because most of the times of a busy hour are of few seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
