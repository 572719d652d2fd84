"""Limits as values: pairs, calendar periods in every time zone, sentences, headers."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.limit_headers import limit_headers
from app.domain.limits import (
    CALENDAR,
    LENGTH_MS,
    MAX_COUNT,
    UNITS,
    Limit,
    LimitState,
    Owner,
    Unit,
    Window,
    periods,
    require_distinct,
    require_zone,
    tightest,
)
from app.domain.money import MAX_MICRO, MICRO

ZONES = sorted(name for name in available_timezones() if name != "localtime")
HALF_HOURS = {"Australia/Lord_Howe", "Australia/LHI"}  # the only zone whose clock changes by half an hour
FIRST_YEAR, LAST_YEAR = 2019, 2036
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(text: str, zone: str = "UTC") -> int:
    """A local time such as `2026-03-29 02:30`, in Unix milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def utc(ms: int) -> str:
    """Milliseconds as a time in UTC, to the minute."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M")


@cache
def turns(zone: str, year: int) -> tuple[int, ...]:
    """The times of that year at which the zone's UTC offset changes."""

    def offset(ms: int) -> timedelta | None:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)).utcoffset()

    found = []
    for start in range(at(f"{year}-01-01 00:00"), at(f"{year + 1}-01-01 00:00"), DAY_MS):
        low, high = start, start + DAY_MS
        if offset(low) == offset(high):
            continue
        while high - low > 60_000:
            middle = (low + high) // 120_000 * 60_000
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return tuple(found)


@st.composite
def zones_and_times(draw: st.DrawFn) -> tuple[str, int]:
    """A time zone and a moment (ms): anywhere in a year, or within a day or so of a turn of the clock."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.integers(FIRST_YEAR, LAST_YEAR))
    if draw(st.booleans()) and turns(zone, year):
        return zone, draw(st.sampled_from(turns(zone, year))) + draw(st.integers(-26 * HOUR_MS, 26 * HOUR_MS))
    return zone, draw(st.integers(at(f"{year}-01-01 00:00"), at(f"{year + 1}-01-01 00:00")))


@given(zones_and_times())
@settings(max_examples=500)
def test_a_moment_lies_in_its_periods(drawn: tuple[str, int]) -> None:
    """Each window contains the time, and the smaller windows are within the larger ones."""
    zone, now_ms = drawn
    found = periods(now_ms, zone)
    assert list(found) == list(CALENDAR)
    for period in found.values():
        assert period.start_ms <= now_ms < period.end_ms
    inside = ((Window.MINUTE, Window.HOUR), (Window.DAY, Window.WEEK), (Window.DAY, Window.MONTH))
    for inner, outer in inside:
        assert found[outer].start_ms <= found[inner].start_ms
        assert found[inner].end_ms <= found[outer].end_ms
    for window, length_ms in LENGTH_MS.items():  # stations in Antarctica change their clocks by three hours
        assert 0.8 * length_ms <= found[window].end_ms - found[window].start_ms <= 1.2 * length_ms


@given(zones_and_times())
@settings(max_examples=500)
def test_a_period_ends_where_the_next_one_begins(drawn: tuple[str, int]) -> None:
    """No time is between two periods or in both; a window is the same for every time in it."""
    zone, now_ms = drawn
    found = periods(now_ms, zone)
    for window, period in found.items():
        if window is Window.HOUR and zone in HALF_HOURS:
            continue
        assert periods(period.end_ms, zone)[window].start_ms == period.end_ms
        for moment in (period.start_ms, period.end_ms - 1):
            assert periods(moment, zone)[window] == period


@given(zones_and_times())
def test_days_weeks_and_months_begin_with_the_zones_calendar(drawn: tuple[str, int]) -> None:
    """The first moment of the local date; of the ISO week, on its Monday; of the local month, on its first day."""
    zone, now_ms = drawn
    here = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    found = periods(now_ms, zone)
    day, week, month = (
        datetime.fromtimestamp(found[window].start_ms / 1000, UTC)
        for window in (Window.DAY, Window.WEEK, Window.MONTH)
    )
    assert week.astimezone(ZoneInfo(zone)).isocalendar() == (*here.isocalendar()[:2], 1)
    assert (week - timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).isoweekday() == 7
    assert day.astimezone(ZoneInfo(zone)).date() == here.date()
    assert (day - timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).date() < here.date()
    assert month.astimezone(ZoneInfo(zone)).date() == here.date().replace(day=1)
    assert (month - timedelta(milliseconds=1)).astimezone(ZoneInfo(zone)).month != here.month


@pytest.mark.parametrize(
    ("zone", "noon", "start", "end", "hours"),
    [
        ("UTC", "2026-11-22 12:00", "2026-11-22 00:00", "2026-11-23 00:00", 24),
        ("Europe/Berlin", "2026-03-29 12:00", "2026-03-28 23:00", "2026-03-29 22:00", 23),
        ("Europe/Berlin", "2026-10-25 12:00", "2026-10-24 22:00", "2026-10-25 23:00", 25),
        ("America/New_York", "2026-03-08 12:00", "2026-03-08 05:00", "2026-03-09 04:00", 23),
        ("Asia/Kolkata", "2026-11-22 12:00", "2026-11-21 18:30", "2026-11-22 18:30", 24),
        ("Asia/Kathmandu", "2026-11-22 12:00", "2026-11-21 18:15", "2026-11-22 18:15", 24),
        ("Asia/Beirut", "2026-03-29 12:00", "2026-03-28 22:00", "2026-03-29 21:00", 23),  # no 00:00 on that day
        ("America/Sao_Paulo", "2018-11-04 12:00", "2018-11-04 03:00", "2018-11-05 02:00", 23),  # nor on this one
        ("America/Sao_Paulo", "2019-02-16 12:00", "2019-02-16 02:00", "2019-02-17 03:00", 25),  # 23:00 twice
        ("America/Havana", "2026-11-01 12:00", "2026-11-01 04:00", "2026-11-02 05:00", 25),  # 00:00 twice
        ("Australia/Lord_Howe", "2026-04-05 12:00", "2026-04-04 13:00", "2026-04-05 13:30", 24.5),
    ],
)
def test_a_day_has_the_hours_that_its_place_gives_it(
    zone: str, noon: str, start: str, end: str, hours: float
) -> None:
    """Clocks go forward and back, also at midnight, also by half an hour."""
    day = periods(at(noon, zone), zone)[Window.DAY]
    assert (utc(day.start_ms), utc(day.end_ms)) == (start, end)
    assert day.end_ms - day.start_ms == hours * HOUR_MS


@pytest.mark.parametrize(
    ("zone", "noon", "start", "end", "hours"),
    [
        ("UTC", "2026-11-29 23:59", "2026-11-23 00:00", "2026-11-30 00:00", 168),
        ("UTC", "2026-11-30 00:00", "2026-11-30 00:00", "2026-12-07 00:00", 168),
        ("UTC", "2026-12-31 12:00", "2026-12-28 00:00", "2027-01-04 00:00", 168),  # week 53 of 2026
        ("UTC", "2027-01-03 23:59", "2026-12-28 00:00", "2027-01-04 00:00", 168),  # still
        ("UTC", "2024-12-30 00:00", "2024-12-30 00:00", "2025-01-06 00:00", 168),  # week 1 of 2025
        ("Europe/Berlin", "2026-03-29 21:59", "2026-03-22 23:00", "2026-03-29 22:00", 167),
        ("Europe/Berlin", "2026-10-25 12:00", "2026-10-18 22:00", "2026-10-25 23:00", 169),
        ("Asia/Beirut", "2026-03-29 12:00", "2026-03-22 22:00", "2026-03-29 21:00", 167),
        ("Pacific/Kiritimati", "2026-11-29 10:00", "2026-11-29 10:00", "2026-12-06 10:00", 168),  # Monday is there
        ("Pacific/Pago_Pago", "2026-11-30 10:59", "2026-11-23 11:00", "2026-11-30 11:00", 168),  # and not yet here
        ("Australia/Lord_Howe", "2026-04-01 12:00", "2026-03-29 13:00", "2026-04-05 13:30", 168.5),
    ],
)
def test_a_week_is_an_iso_week_of_its_place(zone: str, noon: str, start: str, end: str, hours: float) -> None:
    """From Monday 00:00 to Monday 00:00 by the zone's clock, across years too."""
    week = periods(at(noon), zone)[Window.WEEK]
    assert (utc(week.start_ms), utc(week.end_ms)) == (start, end)
    assert week.end_ms - week.start_ms == hours * HOUR_MS


def test_an_hour_that_comes_twice_is_two_hours() -> None:
    """02:30 in Berlin on the day when clocks go back: the first and the second one are counted separately."""
    first = periods(at("2026-10-25 00:30"), "Europe/Berlin")[Window.HOUR]
    second = periods(at("2026-10-25 01:30"), "Europe/Berlin")[Window.HOUR]
    assert first.end_ms == second.start_ms
    assert second.end_ms - second.start_ms == HOUR_MS


def test_an_hour_begins_with_the_zones_clock() -> None:
    """In Kathmandu at a quarter past the hour of UTC; a month across a year's end."""
    found = periods(at("2026-12-31 20:00"), "Asia/Kathmandu")
    assert {window: utc(period.start_ms) for window, period in found.items()} == {
        "minute": "2026-12-31 20:00",
        "hour": "2026-12-31 19:15",
        "day": "2026-12-31 18:15",
        "week": "2026-12-27 18:15",
        "month": "2026-12-31 18:15",
    }
    assert utc(found[Window.MONTH].end_ms) == "2027-01-31 18:15"


@given(st.sampled_from(Unit), st.sampled_from(Window), st.integers(-2, 2**63))
def test_a_limit_has_a_known_pair_and_a_sensible_amount(unit: Unit, window: Window, amount: int) -> None:
    """Anything else is a ValueError with a sentence."""
    highest = MAX_MICRO if unit is Unit.USD else MAX_COUNT
    if unit in UNITS[window] and 0 <= amount <= highest:
        made = Limit(unit, window, amount)
        assert made.name == f"{unit.value}/{window.value}"
        Limit(unit, window, amount, raised_to=highest, raised_until_ms=1)
        with pytest.raises(ValueError, match="between 0 and"):
            Limit(unit, window, amount, raised_to=highest + 1)
    else:
        with pytest.raises(ValueError, match=r"^(The window \w+ counts|An amount of \w+ is between 0 and) "):
            Limit(unit, window, amount)


def test_the_pairs_are_those_of_the_contract() -> None:
    """Twenty: three units in six windows, submits in two; concurrent and queued count only jobs."""
    counted = {"jobs", "usd", "video_seconds"}
    assert {window.value: {unit.value for unit in units} for window, units in UNITS.items()} == {
        "minute": counted | {"submits"},
        "hour": counted | {"submits"},
        "day": counted,
        "week": counted,
        "month": counted,
        "total": counted,
        "concurrent": {"jobs"},
        "queued": {"jobs"},
    }


def test_one_owner_has_one_limit_of_a_name() -> None:
    """The same unit in another window is another limit; the same pair twice is refused."""
    day, month = Limit(Unit.USD, Window.DAY, 1), Limit(Unit.USD, Window.MONTH, 1)
    assert require_distinct([day, month]) == (day, month)
    with pytest.raises(ValueError, match="two limits on usd with the window day"):
        require_distinct([day, month, Limit(Unit.USD, Window.DAY, 2)])


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
def test_a_known_zone_keeps_its_name(zone: str) -> None:
    """It is returned unchanged."""
    assert require_zone(zone) == zone


@pytest.mark.parametrize(
    "zone", ["", "Berlin", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Berlin\0", "é" * 300]
)
def test_an_unknown_zone_is_a_value_error(zone: str) -> None:
    """Also for a folder's name, a path, or an invalid name; the sentence does not repeat it."""
    with pytest.raises(ValueError, match="There is no time zone of this name"):
        require_zone(zone)


def state(
    owner: Owner,
    unit: Unit,
    window: Window,
    amount: int,
    *,
    used: int = 0,
    held: int = 0,
    resets: int | None = None,
) -> LimitState:
    """A limit's state at the time 0."""
    return LimitState(owner, unit, window, amount, used, held, resets, 0)


@pytest.mark.parametrize(
    ("limit", "need", "sentence"),
    [
        (
            state(Owner.TEAM, Unit.USD, Window.DAY, 10_000_000, used=1_400_000, held=8_400_000, resets=86_400_000),
            1_400_000,
            (
                "The limit of the team is 10.00 US dollars a day; used 1.40, held 8.40; left 0.20, needed 1.40; "
                "it begins anew at 1970-01-02T00:00:00Z."
            ),
        ),
        (
            state(Owner.USER, Unit.VIDEO_SECONDS, Window.TOTAL, 9, used=5),
            10,
            (
                "The limit of the user is 9 seconds of video in total; "
                "used 5, held 0; left 4, needed 10; this job alone is larger than that."
            ),
        ),
        (
            state(Owner.GATEWAY, Unit.JOBS, Window.CONCURRENT, 3, held=3),
            1,
            (
                "The limit of the whole gateway is 3 jobs at the same time; "
                "used 0, held 3; left 0, needed 1; jobs that end make room."
            ),
        ),
        (
            state(Owner.TOKEN, Unit.JOBS, Window.QUEUED, 2, held=4),
            1,
            (
                "The limit of this browser token is 2 jobs in line; "
                "used 0, held 4; left 0, needed 1; jobs that begin make room."
            ),
        ),
        (
            state(Owner.TEAM, Unit.SUBMITS, Window.MINUTE, 20, used=20, resets=3_000),
            1,
            "The limit of the team is 20 submissions a minute; room for the next at 1970-01-01T00:00:03Z.",
        ),
        (
            state(Owner.USER, Unit.JOBS, Window.HOUR, 1, used=1),
            1,
            "The limit of the user is 1 job an hour; used 1, held 0; left 0, needed 1.",
        ),
    ],
)
def test_a_refusal_is_a_sentence(limit: LimitState, need: int, sentence: str) -> None:
    """Owner, amount, used, held, left, needed, and when the window begins again."""
    assert limit.sentence(need) == sentence


def test_the_tightest_limit_is_the_one_that_refuses_first() -> None:
    """One with nothing left, else the fewest dollars, else the smallest share; no rate, and no present jobs."""

    def of(owner: Owner, unit: Unit, window: Window, amount: int, used: int) -> LimitState:
        return LimitState(owner, unit, window, amount, used, 0, None, 0)

    rate = of(Owner.USER, Unit.SUBMITS, Window.MINUTE, 1, 1)
    present = of(Owner.USER, Unit.JOBS, Window.CONCURRENT, 1, 1)
    tenth = of(Owner.USER, Unit.JOBS, Window.DAY, 10, 9)
    half = of(Owner.TEAM, Unit.VIDEO_SECONDS, Window.MONTH, 10, 5)
    ten = of(Owner.USER, Unit.USD, Window.MONTH, 20 * MICRO, 10 * MICRO)
    hundred = of(Owner.TEAM, Unit.USD, Window.MONTH, 1000 * MICRO, 900 * MICRO)
    nothing = of(Owner.TEAM, Unit.JOBS, Window.DAY, 10, 12)
    assert tightest([rate, present]) is None
    assert tightest([rate, present, half, tenth]) is tenth
    assert tightest([hundred, tenth, ten, present]) is ten
    assert tightest([ten, nothing]) is nothing


def test_nothing_is_left_below_zero() -> None:
    """A limit that was lowered below the used amount has nothing left."""
    assert state(Owner.TEAM, Unit.JOBS, Window.DAY, 1, used=2, held=1).left == 0


def test_headers_tell_every_limit() -> None:
    """Lists of structured fields, in the limits' order; seconds are rounded up and never negative."""
    assert limit_headers(()) == {}
    assert limit_headers(
        [
            state(Owner.GATEWAY, Unit.JOBS, Window.CONCURRENT, 3, held=1),
            state(Owner.TEAM, Unit.USD, Window.DAY, 10_000_000, used=1_400_000, resets=1_001),
            state(Owner.TEAM, Unit.JOBS, Window.WEEK, 4, resets=604_800_000),
            state(Owner.USER, Unit.SUBMITS, Window.HOUR, 5, used=5, resets=-1),
            state(Owner.TEAM, Unit.USD, Window.TOTAL, MAX_MICRO),
        ]
    ) == {
        "RateLimit-Policy": '"gateway-jobs-concurrent";q=3;qu="concurrent-requests", '
        '"team-usd-day";q=10000000;qu="micro-usd";w=86400, '
        '"team-jobs-week";q=4;qu="requests";w=604800, "user-submits-hour";q=5;qu="requests";w=3600, '
        '"team-usd-total";q=999999999999999;qu="micro-usd"',
        "RateLimit": '"gateway-jobs-concurrent";r=2, "team-usd-day";r=8600000;t=2, '
        '"team-jobs-week";r=4;t=604800, "user-submits-hour";r=0;t=0, '
        '"team-usd-total";r=999999999999999',
    }
