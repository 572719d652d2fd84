"""A change of a team's time zone carries its usage over, so that the change refills no budget.

The sums of a calendar window that had begun in the old zone count, until that window would have ended, in each
window of the new zone as well (`Extensions`). And a window of the new zone counts, to its own end, all jobs that
were admitted since it began, in whatever zone (`CarriedOver`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.limits import Periods, Window

# By window, the start (ms) of an older period to the time (ms) until which it counts.
Extensions = dict[Window, dict[int, int]]


@dataclass(slots=True)
class WindowSums:
    """So many jobs, micro-dollars and seconds of video."""

    jobs: int = 0
    usd: int = 0
    video_seconds: int = 0

    def add(self, other: "WindowSums") -> None:
        """Add the other sums."""
        self.jobs += other.jobs
        self.usd += other.usd
        self.video_seconds += other.video_seconds


@dataclass(slots=True)
class CountedJob:
    """A job as the ledger has it now: whose, when admitted, in which of the team's periods, how much it counts.

    `starts` are the periods' beginnings (ms), without windows that were added later. `open`: its money is still
    reserved, and may be released.
    """

    user: str
    admitted_ms: int
    starts: Mapping[Window, int]
    amount: WindowSums
    open: bool = True


@dataclass(slots=True)
class CarriedOver:
    """What a window of one owner counts in addition to its own sums, to its end.

    `without` has periods of other zones by their beginning (ms): their sums count, minus this amount, which was
    used before this window began. `fixed` is what was admitted since this window began in periods that are over.
    """

    without: dict[int, WindowSums] = field(default_factory=dict)
    fixed: WindowSums = field(default_factory=WindowSums)


def extend(before: Extensions, old: Periods, new: Periods, now_ms: int) -> Extensions:
    """The periods that count after the change: the old zone's present ones, and earlier ones that are not over."""
    after: Extensions = {}
    for window, period in old.items():
        kept = {start: until for start, until in before.get(window, {}).items() if until > now_ms}
        if period != new[window]:
            kept[period.start_ms] = max(period.end_ms, kept.get(period.start_ms, 0))
        if kept:
            after[window] = kept
    return after


def ledger_needed_since(extensions: Extensions, new: Periods) -> int:
    """The time (ms) from which `carry_over` needs the ledger's jobs."""
    starts = [start for periods in extensions.values() for start in periods]
    return min([*starts, *(period.start_ms for period in new.values())])


def carry_over(
    window: Window, extensions: Mapping[int, int], new: Periods, jobs: Iterable[CountedJob]
) -> CarriedOver:
    """What the new zone's window counts in addition to its own sums, for one owner with these jobs."""
    begins = new[window].start_ms
    carried = CarriedOver(without={start: WindowSums() for start in sorted(extensions) if start != begins})
    for job in jobs:
        start = job.starts.get(window)
        if start == begins:
            continue
        if start is None or start not in carried.without:
            if job.admitted_ms >= begins:
                carried.fixed.add(job.amount)
        elif job.admitted_ms < begins and not job.open:
            carried.without[start].add(job.amount)
    return carried
