"""Days and times in the parameters of reports and exports."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.errors import invalid_at
from app.domain.limits import DAY_MS

LAST_MS = 8000 * 365 * DAY_MS  # in the year 9964; calendars end with 9999
UNCODED_OFFSET = re.compile(r"(?<=\d) (?=\d\d:?\d\d$)")  # a plus sign that was not percent-encoded


def read_moment(name: str, text: str, zone: str) -> int:
    """The time (ms) of a date in `zone`, or of a time with its offset."""
    try:
        if len(text) <= len("2026-11-22"):
            day = date.fromisoformat(text)
            moment = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(UNCODED_OFFSET.sub("+", text))
        if moment.utcoffset() is not None:
            at_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
            if 0 <= at_ms <= LAST_MS:
                return at_ms
    except (ValueError, OverflowError):  # no such day, or one beyond the calendar
        pass
    raise invalid_at(
        f"/query/{name}", "not_a_time", "Send a date such as 2026-11-22, or a time such as 2026-11-22T12:00:00Z."
    )
