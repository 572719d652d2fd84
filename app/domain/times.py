"""Times: whole milliseconds inside, ISO 8601 in UTC outside."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import overload
from zoneinfo import ZoneInfo


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


def date_in(zone: str, milliseconds: int) -> str:
    """The date `2026-11-22` that a clock in this time zone shows then."""
    return datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone)).date().isoformat()


def until_http_date(text: str, now: datetime) -> float | None:
    """Seconds from `now` to a date as HTTP headers write it, 0 for one that has passed; None if it is no date."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a huge time zone
        return None
    if moment.tzinfo is None:  # "-0000" means UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Cached, because most of the times of a busy hour are of few seconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
