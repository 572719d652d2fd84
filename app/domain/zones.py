"""What a team has used goes with it when its time zone changes: no budget begins anew by the change.

A calendar window that has begun is finished. What was counted in it counts, until it would have ended, in every
window that follows in another zone (a `Stretch`). And a window of the new zone counts, to its own end, all that was
really asked for since it began, under whatever zone (`Share`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.limits import Periods, Window

Stretches = dict[Window, dict[int, int]]  # by the beginning of a period (ms): until when all of it counts (ms)


@dataclass(slots=True)
class WindowSums:
    """So many jobs, micro-dollars and seconds of video."""

    jobs: int = 0
    usd: int = 0
    video_seconds: int = 0

    def add(self, other: "WindowSums") -> None:
        """Take the other one in."""
        self.jobs += other.jobs
        self.usd += other.usd
        self.video_seconds += other.video_seconds


@dataclass(slots=True)
class Bought:
    """A job as the ledger has it now: whose, when admitted, in which of the team's periods, how much it counts.

    `starts` are the periods' beginnings (ms); a window that is younger than the job has none.

    `open`: its money is put aside still, and may come back.
    """

    user: str
    admitted_ms: int
    starts: Mapping[Window, int]
    amount: WindowSums
    open: bool = True


@dataclass(slots=True)
class CarriedOver:
    """What a window of one owner counts beside its own sums, to its end.

    `without` names periods of other zones by their beginning (ms): what they count, less what was used up in them
    before this window began. `fixed` is what was asked for since this window began in periods that are over.
    """

    without: dict[int, WindowSums] = field(default_factory=dict)
    fixed: WindowSums = field(default_factory=WindowSums)


def stretched(before: Stretches, old: Periods, new: Periods, now_ms: int) -> Stretches:
    """What counts on after the change: the windows that had begun, and those of earlier changes that still run."""
    after: Stretches = {}
    for window, period in old.items():
        found = {start: until for start, until in before.get(window, {}).items() if until > now_ms}
        if period != new[window]:
            found[period.start_ms] = max(period.end_ms, found.get(period.start_ms, 0))
        if found:
            after[window] = found
    return after


def reaches_back_to(stretches: Stretches, new: Periods) -> int:
    """The time (ms) since when the ledger must be read to make the shares."""
    starts = [start for found in stretches.values() for start in found]
    return min([*starts, *(period.start_ms for period in new.values())])


def share(window: Window, stretches: Mapping[int, int], new: Periods, bought: Iterable[Bought]) -> CarriedOver:
    """What the new zone's window counts beside its own sums, of one owner who asked for these jobs."""
    begins = new[window].start_ms
    made = CarriedOver(without={start: WindowSums() for start in sorted(stretches) if start != begins})
    for one in bought:
        start = one.starts.get(window)
        if start == begins:
            continue
        if start is None or start not in made.without:
            if one.admitted_ms >= begins:
                made.fixed.add(one.amount)
        elif one.admitted_ms < begins and not one.open:
            made.without[start].add(one.amount)
    return made
