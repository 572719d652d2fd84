"""Limits: an amount of a unit in a window, for an owner.

Calendar windows and `total` count jobs, dollars or seconds of video; `concurrent` and `queued` count present jobs;
`submits` is a rate (GCRA): the amount at once, then one submission each time an even pace allows.
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
    """The unit that a limit counts."""

    JOBS = "jobs"
    USD = "usd"
    VIDEO_SECONDS = "video_seconds"
    SUBMITS = "submits"


class Window(StrEnum):
    """The time over which a limit counts; minute to month are calendar windows in the team's time zone."""

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
GATEWAY = "gateway"  # the owner of the limits and sums of all teams together; other owners are ids
# How long a period's sums are kept after its end. Money released to an older period changes no limit.
KEPT_MS = {
    Window.MINUTE: 600_000,
    Window.HOUR: DAY_MS,
    Window.DAY: 40 * DAY_MS,
    Window.WEEK: 40 * DAY_MS,
    Window.MONTH: 400 * DAY_MS,
}
ADJUSTED_KEPT_MS = 40 * DAY_MS  # at least, for sums that a credit or a change of time zone created
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

    Until `raised_until_ms`, `raised_to` applies instead. ValueError for a unit that the window does not count, and
    for an amount out of range.
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
        """The limit in details of the audit log."""

        def amount(value: int) -> str | int:
            return format_usd(value) if self.unit is Unit.USD else value

        details: dict[str, str | int | None] = {
            "unit": self.unit,
            "window": self.window,
            "amount": amount(self.amount),
        }
        if self.raised_to is not None:
            details |= {"raised_to": amount(self.raised_to), "raised_until": iso(self.raised_until_ms)}
        return details


MAKES_ROOM = {Window.CONCURRENT: "jobs that end make room", Window.QUEUED: "jobs that begin make room"}


@dataclass(frozen=True, slots=True)
class LimitState:
    """The state of a limit: used by ended jobs, held for jobs in progress, and when it resets.

    `amount` includes raises and credits. `over`: it refused this submission. `resets_ms` is None for windows that
    do not reset.
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
        """The amount that is still available."""
        return max(0, self.amount - self.used - self.held)

    def sentence(self, need: int) -> str:
        """The sentence for a submission that needs this amount and was refused."""
        whose = {"gateway": "the whole gateway", "token": "this browser token"}.get(self.owner, f"the {self.owner}")
        each = f" in {self.window}"
        if self.window in CALENDAR:
            each = " an hour" if self.window is Window.HOUR else f" a {self.window}"
        each = " at the same time" if self.window is Window.CONCURRENT else each
        each = " in line" if self.window is Window.QUEUED else each
        parts = [f"the limit of {whose} is {in_words(self.unit, self.amount)}{each}"]
        if self.unit is not Unit.SUBMITS:
            parts.append(f"used {format_amount(self.unit, self.used)}, held {format_amount(self.unit, self.held)}")
            parts.append(f"left {format_amount(self.unit, self.left)}, needed {format_amount(self.unit, need)}")
        if self.resets_ms is not None:
            again = "room for the next" if self.unit is Unit.SUBMITS else "it begins anew"
            parts.append(f"{again} at {datetime.fromtimestamp(self.resets_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}")
        if need > self.amount:
            parts.append("this job alone is larger than that")
        elif self.window in MAKES_ROOM:
            parts.append(MAKES_ROOM[self.window])
        text = "; ".join(parts) + "."
        return text[0].upper() + text[1:]


def tightest(states: Iterable[LimitState]) -> LimitState | None:
    """The limit that refuses first: one with nothing left, or else that with the fewest dollars left.

    Without a limit in dollars, that of which the smallest share is left. Rates and limits on present jobs are left
    out: there is room again without anybody's doing.
    """
    budgets = [
        one for one in states if one.unit in COUNTED and one.window not in {Window.CONCURRENT, Window.QUEUED}
    ]
    return min(budgets, key=_tightness, default=None)


def _tightness(state: LimitState) -> tuple[bool, bool, float]:
    dollars = state.unit is Unit.USD
    return state.left > 0, not dollars, state.left if dollars else state.left / max(1, state.amount)


UNIT_WORDS = {  # for one, and for several
    Unit.JOBS: ("job", "jobs"),
    Unit.USD: ("US dollars", "US dollars"),
    Unit.VIDEO_SECONDS: ("second of video", "seconds of video"),
    Unit.SUBMITS: ("submission", "submissions"),
}


def in_words(unit: Unit, amount: int) -> str:
    """`1 job`, `5 seconds of video`, `1.40 US dollars`."""
    one, several = UNIT_WORDS[unit]
    return f"{format_amount(unit, amount)} {one if amount == 1 else several}"


def format_amount(unit: Unit, amount: int) -> str:
    """Dollars as a decimal string, other units as a whole number."""
    return format_usd(amount) if unit is Unit.USD else str(amount)


def require_distinct(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """The limits; ValueError when two of them count the same unit in the same window."""
    by_name: dict[str, Limit] = {}
    for limit in limits:
        if by_name.setdefault(limit.name, limit) is not limit:
            raise ValueError(f"There are two limits on {limit.unit} with the window {limit.window}; keep one")
    return tuple(by_name.values())


@dataclass(frozen=True, slots=True)
class Period:
    """One period of a calendar window, in Unix milliseconds; the end is not in it."""

    start_ms: int
    end_ms: int


# A period of each of CALENDAR. A team's follow its time zone, the gateway's UTC.
Periods = Mapping[Window, Period]


def periods(now_ms: int, zone: str) -> Periods:
    """The periods of that time zone that contain `now_ms`. A day may have 23 or 25 hours."""
    return _periods(now_ms // 60_000, zone)


@lru_cache(maxsize=1024)
def _periods(minute: int, zone: str) -> Periods:
    """Cached by the minute for admissions; a zone's offset never changes within one."""
    tz = ZoneInfo(zone)
    start = minute * 60_000
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(tz)
    # Hours are counted from the zone's offset and not from its clock, which shows 02:00 twice in autumn.
    offset_ms = int((local.utcoffset() or timedelta()).total_seconds() * 1000)
    hour = start - (start + offset_ms) % 3_600_000
    today = local.date()
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
            **{window: Period(*(_midnight(day, tz) for day in days)) for window, days in dates.items()},
        }
    )


def _midnight(day: date, tz: ZoneInfo) -> int:
    """When (ms) the day begins: the first of two midnights, or the change of clocks that skips midnight."""
    return int(datetime(day.year, day.month, day.day, tzinfo=tz).timestamp() * 1000)


def require_zone(name: str) -> str:
    """The name of a time zone such as `Europe/Berlin`; ValueError when it does not exist."""
    try:
        if name not in {"localtime", "posixrules", "Factory"}:  # the machine's own zone, and two that are not zones
            ZoneInfo(name)
            return name
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a directory's name an OSError
        pass
    raise ValueError("There is no time zone of this name; use one such as Europe/Berlin or UTC")
