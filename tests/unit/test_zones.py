"""A team's time zone changes: in every window of every zone, no more is bought than its limit."""

from collections import defaultdict
from dataclasses import dataclass, field
from zoneinfo import available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.limits import CALENDAR, Periods, Window, periods
from app.domain.zones import (
    CarriedOver,
    CountedJob,
    Extensions,
    WindowSums,
    carry_over,
    extend,
    ledger_needed_since,
)

ZONES = sorted(name for name in available_timezones() if name not in {"localtime", "Factory"})
BEGINS, ENDS = 1_577_836_800, 2_082_758_400  # 2020 and 2036, in seconds
BUDGET = 5
USER = "user_1"


@dataclass
class Team:
    """One owner, its zone and jobs, as the store has them; `counted_in` is what `lua/lib/limits.lua` computes."""

    now_ms: int
    zone: str
    limited: Window  # the window that has a limit
    jobs: list[CountedJob] = field(default_factory=list)
    extensions: Extensions = field(default_factory=dict)
    shares: dict[tuple[Window, int], CarriedOver] = field(default_factory=dict)

    @property
    def periods(self) -> Periods:
        """The current windows."""
        return periods(self.now_ms, self.zone)

    def held_in(self, window: Window, start: int) -> int:
        """The sums of one period."""
        return sum(job.amount.jobs for job in self.jobs if job.starts[window] == start)

    def counted_in(self, window: Window) -> int:
        """The sums that count in the current window."""
        start = self.periods[window].start_ms
        mine = self.shares.get((window, start), CarriedOver())
        others: dict[int, int | None] = {other: less.jobs for other, less in mine.without.items()}
        others |= {other: None for other, until in self.extensions.get(window, {}).items() if until > self.now_ms}
        carried = sum(
            max(0, self.held_in(window, other) - (less or 0)) for other, less in others.items() if other != start
        )
        return self.held_in(window, start) + mine.fixed.jobs + carried

    def buy(self) -> bool:
        """Buy one job, if the limit allows it."""
        if self.counted_in(self.limited) >= BUDGET:
            return False
        starts = {window: period.start_ms for window, period in self.periods.items()}
        self.jobs.append(CountedJob(USER, self.now_ms, starts, WindowSums(1, 1, 1)))
        return True

    def move(self, zone: str) -> None:
        """Another time zone."""
        old, new = self.periods, periods(self.now_ms, zone)
        self.extensions = extend(self.extensions, old, new, self.now_ms)
        since = ledger_needed_since(self.extensions, new)
        read = [job for job in self.jobs if job.admitted_ms >= since]
        for window, period in new.items():
            if old[window].start_ms != period.start_ms:
                made = carry_over(window, self.extensions.get(window, {}), new, read)
                self.shares[window, period.start_ms] = made
        self.zone = zone

    def end(self, which: int, *, spent: bool) -> None:
        """Settle or release one of the open jobs."""
        open_jobs = [job for job in self.jobs if job.open]
        if open_jobs:
            job = open_jobs[which % len(open_jobs)]
            job.open = False
            if not spent:
                job.amount = WindowSums()

    def really(self, window: Window) -> int:
        """The jobs admitted in the real window of the current zone that still count."""
        return sum(job.amount.jobs for job in self.jobs if job.admitted_ms >= self.periods[window].start_ms)


def bought_as_much_as_possible(team: Team) -> int:
    """How many jobs can be bought in a row."""
    count = 0
    while team.buy():
        count += 1
    return count


limited = st.sampled_from([Window.HOUR, Window.DAY, Window.WEEK, Window.MONTH])
zones = st.sampled_from(ZONES)
instants = st.integers(BEGINS, ENDS).map(lambda seconds: seconds * 1000)
waits = st.one_of(st.just(0), st.integers(0, 3 * 3600), st.integers(0, 3 * 86_400))
moves = st.tuples(st.just("move"), waits, zones)
buys = st.tuples(st.just("buy"), waits, st.integers(1, 6))
endings = st.tuples(st.sampled_from(["settle", "release"]), st.just(0), st.integers(0, 9))
steps = st.lists(st.one_of(moves, buys, endings), max_size=25)


@settings(max_examples=400)
@given(instants, zones, limited, steps)
def test_no_window_of_the_zone_in_force_takes_more_than_its_budget(
    now_ms: int, zone: str, window: Window, story: list[tuple[str, int, str | int]]
) -> None:
    """After any changes, purchases, settlements and releases, the window's real purchases are within its limit."""
    team = Team(now_ms, zone, window)
    for what, wait_s, value in story:
        team.now_ms += wait_s * 1000
        if isinstance(value, str):
            team.move(value)
        elif what == "buy":
            for _ in range(value):
                if team.buy():
                    assert team.really(window) <= BUDGET
        else:
            team.end(value, spent=what == "settle")
        assert all(team.counted_in(each) >= team.really(each) for each in CALENDAR)


@settings(max_examples=200)
@given(instants, zones, limited, st.lists(zones, min_size=1, max_size=8))
def test_changes_in_one_moment_open_no_budget(now_ms: int, zone: str, window: Window, others: list[str]) -> None:
    """A limit that is used up stays used up through any zones and back, until its window is over."""
    team = Team(now_ms, zone, window)
    assert bought_as_much_as_possible(team) == BUDGET
    for other in [*others, zone]:
        team.move(other)
        assert not team.buy(), other
    team.now_ms = periods(now_ms, zone)[window].end_ms - 1000
    team.move(others[0])
    assert not team.buy()


@settings(max_examples=200)
@given(instants, zones, st.lists(zones, min_size=1, max_size=6))
def test_changes_count_nothing_twice(now_ms: int, zone: str, others: list[str]) -> None:
    """Back in its first zone, at the same time, a team has the same sums: its jobs, each once."""
    team = Team(now_ms, zone, Window.MONTH)
    bought = 0
    for other in [*others, zone]:
        bought += team.buy()
        team.move(other)
        counted = defaultdict(int, {window: team.counted_in(window) for window in CALENDAR[1:]})
        assert set(counted.values()) == {bought}, (other, counted)


@settings(max_examples=100)
@given(instants, zones, limited, zones)
def test_room_that_comes_back_comes_back_in_the_new_zone_too(
    now_ms: int, zone: str, window: Window, other: str
) -> None:
    """A job that was held when the zone changed, and is released later, is subtracted from the new windows too."""
    team = Team(now_ms, zone, window)
    assert bought_as_much_as_possible(team) == BUDGET
    team.move(other)
    team.end(0, spent=False)
    assert team.buy()
    assert not team.buy()


@settings(max_examples=300)
@given(instants, st.lists(st.tuples(st.integers(0, 4 * 3600), zones), min_size=3, max_size=40))
def test_a_change_every_few_hours_gains_nothing_lasting(now_ms: int, story: list[tuple[int, str]]) -> None:
    """However often the zone changes: in any 23 hours at most two days' limits, as around any midnight."""
    team = Team(now_ms, "UTC", Window.DAY)
    for wait_s, zone in story:
        bought_as_much_as_possible(team)
        team.now_ms += wait_s * 1000
        bought_as_much_as_possible(team)
        team.move(zone)
    times = [job.admitted_ms for job in team.jobs]
    span = 23 * 3_600_000
    assert all(sum(begin <= at < begin + span for at in times) <= 2 * BUDGET for begin in times)
