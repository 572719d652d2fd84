"""Limits: how much of what, in which window, for whom.

A limit counts one unit in one window. Calendar windows and `total` count jobs, dollars or seconds of video;
`concurrent` and `queued` count jobs that are there now; `submits` is a rate (GCRA): as many at once as the
amount, then one each time an even pace allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from app.domain.money import MAX_MICRO, format_usd
from app.domain.times import iso

DAY_MS = 86_400_000


class Unit(StrEnum):
    """What is counted."""

    JOBS = "jobs"
    USD = "usd"
    VIDEO_SECONDS = "video_seconds"
    SUBMITS = "submits"


class Window(StrEnum):
    """Over which time; minute to month begin with the calendar of the team's time zone."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"
    CONCURRENT = "concurrent"
    QUEUED = "queued"


class Owner(StrEnum):
    """Whose limit it is. A job falls under all of them at once."""

    GATEWAY = "gateway"
    TEAM = "team"
    USER = "user"
    TOKEN = "token"  # noqa: S105  a word, not a secret


LENGTH_MS = {  # the usual one; a day may have 23 hours and a month 28 days
    Window.MINUTE: 60_000,
    Window.HOUR: 3_600_000,
    Window.DAY: DAY_MS,
    Window.WEEK: 7 * DAY_MS,
    Window.MONTH: 30 * DAY_MS,
}
CALENDAR = tuple(LENGTH_MS)
GATEWAY = "gateway"  # the owner of the limits and sums of everybody together; others are named by their id
# How long a period's sums are kept after its end. Money that comes back to an older one changes no limit.
KEPT_MS = {
    Window.MINUTE: 600_000,
    Window.HOUR: DAY_MS,
    Window.DAY: 40 * DAY_MS,
    Window.WEEK: 40 * DAY_MS,
    Window.MONTH: 400 * DAY_MS,
}
ADJUSTED_KEPT_MS = 40 * DAY_MS  # the same at least, where a credit or a change of time zone began them
COUNTED = frozenset({Unit.JOBS, Unit.USD, Unit.VIDEO_SECONDS})
UNITS: dict[Window, frozenset[Unit]] = {
    Window.MINUTE: COUNTED | {Unit.SUBMITS},
    Window.HOUR: COUNTED | {Unit.SUBMITS},
    Window.DAY: COUNTED,
    Window.WEEK: COUNTED,
    Window.MONTH: COUNTED,
    Window.TOTAL: COUNTED,
    Window.CONCURRENT: frozenset({Unit.JOBS}),
    Window.QUEUED: frozenset({Unit.JOBS}),
}
MAX_COUNT = 1_000_000_000
MAX_AMOUNT = {Unit.USD: MAX_MICRO}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` (micro-dollars for usd, else a count) of a unit in a window.

    `raised_to` is in force instead until `raised_until_ms`. ValueError when the pair or an amount makes no sense.
    """

    unit: Unit
    window: Window
    amount: int
    raised_to: int | None = None
    raised_until_ms: int | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS[self.window]:
            known = ", ".join(sorted(unit.value for unit in UNITS[self.window]))
            raise ValueError(f"The window {self.window} counts {known}, not {self.unit}")
        highest = MAX_AMOUNT.get(self.unit, MAX_COUNT)
        for amount in (self.amount, self.raised_to):
            if amount is not None and not 0 <= amount <= highest:
                raise ValueError(f"An amount of {self.unit} is between 0 and {format_amount(self.unit, highest)}")

    @property
    def name(self) -> str:
        """`usd/day`: unique among the limits of one owner."""
        return f"{self.unit}/{self.window}"

    @property
    def details(self) -> dict[str, str | int | None]:
        """The limit as the audit log has it."""

        def amount(value: int) -> str | int:
            return format_amount(self.unit, value) if self.unit is Unit.USD else value

        found: dict[str, str | int | None] = {
            "unit": self.unit.value,
            "window": self.window.value,
            "amount": amount(self.amount),
        }
        if self.raised_to is None:
            return found
        return {**found, "raised_to": amount(self.raised_to), "raised_until": iso(self.raised_until_ms)}


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit as it stood: what is used for good, what is held for jobs under way, and when it begins anew.

    `amount` is what was in force, with raises and credits. `over`: it refused this submission. `resets_ms` is
    None for windows that do not begin anew.
    """

    owner: Owner
    unit: Unit
    window: Window
    amount: int
    used: int
    held: int
    resets_ms: int | None
    now_ms: int
    over: bool = False

    @property
    def left(self) -> int:
        """What may still be asked for."""
        return max(0, self.amount - self.used - self.held)

    def sentence(self, need: int) -> str:
        """Why a submission that needs so much was refused, in words."""
        whose = {"gateway": "the whole gateway", "token": "this browser token"}.get(self.owner, f"the {self.owner}")
        each = f" a {self.window}" if self.window in CALENDAR else f" in {self.window}"
        each = " at the same time" if self.window is Window.CONCURRENT else each
        each = " in line" if self.window is Window.QUEUED else each
        parts = [
            f"the limit of {whose} is {format_amount(self.unit, self.amount)} {UNIT_WORDS[self.unit]}{each}".strip()
        ]
        if self.unit is not Unit.SUBMITS:
            parts.append(f"used {format_amount(self.unit, self.used)}, held {format_amount(self.unit, self.held)}")
            parts.append(f"left {format_amount(self.unit, self.left)}, needed {format_amount(self.unit, need)}")
        if self.resets_ms is not None:
            again = "room for the next" if self.unit is Unit.SUBMITS else "it begins anew"
            parts.append(f"{again} at {datetime.fromtimestamp(self.resets_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}")
        if need > self.amount:
            parts.append("this job alone is larger than that")
        text = "; ".join(parts) + "."
        return text[0].upper() + text[1:]


UNIT_WORDS = {
    Unit.JOBS: "jobs",
    Unit.USD: "US dollars",
    Unit.VIDEO_SECONDS: "seconds of video",
    Unit.SUBMITS: "submissions",
}


def format_amount(unit: Unit, amount: int) -> str:
    """An amount as people write it: dollars as a decimal string, the rest as a whole number."""
    return format_usd(amount) if unit is Unit.USD else str(amount)


def require_distinct(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The limits; ValueError when two of them count the same unit in the same window."""
    found: dict[str, Limit] = {}
    for limit in limits:
        if limit.name in found:
            raise ValueError(f"There are two limits on {limit.unit} with the window {limit.window}; keep one")
        found[limit.name] = limit
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar window at one moment, in Unix milliseconds: its beginning, and the end, which is not in it."""

    start_ms: int
    end_ms: int


# Each of CALENDAR at one moment. Periods of a team follow its time zone, those of the whole gateway UTC.
Periods = Mapping[Window, Period]


def periods(now_ms: int, zone: str) -> Periods:
    """The periods of that time zone that hold `now_ms`. A day may have 23 or 25 hours."""
    return _periods(now_ms // 60_000, zone)


@lru_cache(maxsize=1024)
def _periods(minute: int, zone: str) -> Periods:
    """By the minute, because every admission asks; a zone's offset never changes within one."""
    place = ZoneInfo(zone)
    start = minute * 60_000
    here = datetime.fromtimestamp(minute * 60, UTC).astimezone(place)
    # Hours are counted from the zone's offset and not from its clock, which says 02:00 twice in autumn.
    offset_ms = int((here.utcoffset() or timedelta()).total_seconds() * 1000)
    hour = start - (start + offset_ms) % 3_600_000
    today = here.date()
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    dates = {
        Window.DAY: (today, today + timedelta(days=1)),
        Window.WEEK: (monday, monday + timedelta(days=7)),
        Window.MONTH: (first, (first + timedelta(days=32)).replace(day=1)),
    }
    return MappingProxyType(
        {
            Window.MINUTE: Period(start, start + 60_000),
            Window.HOUR: Period(hour, hour + 3_600_000),
            **{window: Period(*(_midnight(day, place) for day in days)) for window, days in dates.items()},
        }
    )


def _midnight(day: date, place: ZoneInfo) -> int:
    """When the day begins there: the first of two midnights, and the change where clocks skip it."""
    return int(datetime(day.year, day.month, day.day, tzinfo=place).timestamp() * 1000)


def require_zone(name: str) -> str:
    """The name of a time zone such as `Europe/Berlin`; ValueError when there is none of this name."""
    sentence = "There is no time zone of this name; use one such as Europe/Berlin or UTC"
    if name in {"localtime", "posixrules", "Factory"}:  # the machine's own, and two that are no place
        raise ValueError(sentence)
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(sentence) from None
    return name
