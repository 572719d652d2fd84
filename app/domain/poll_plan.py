"""When to poll a generation, from the ages at which earlier ones of the same model and length ended.

An age is the time since fal accepted the request. Ages are counted in bins, each two percent longer than the one
before. The more likely an end is at an age, the denser the polls: waiting `d` seconds between polls where a
generation ends at the rate `r` costs `r * d / 2` seconds of delay and `1 / d` polls a second, which together are
least at `d = sqrt(2 * c / r)`, if a poll is worth `c` seconds of delay (docs/decisions/0036).
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate, pairwise

RATIO = 1.02
SHORTEST_S = 1.0
BINS = 420  # to about 4,000 s; later ends are in the last one
EDGES_S = [0.0, *(SHORTEST_S * RATIO**number for number in range(BINS))]
WIDTHS_S = [end - start for start, end in pairwise(EDGES_S)]
ENOUGH = 20  # ends; with fewer of them nothing is learned
MOST = 1_000  # ends; beyond it all counts are halved, so that what was learned ages
POLL_WORTH_S = 0.02  # of delay of one job
LONGEST_S = 15.0  # between two polls, so that an end at an unlikely age is noticed
UNSEEN_SHARE = 0.0016  # of the root of the number of ends: may end in any bin beside those that were counted
UNSEEN_JOBS = 10  # times as many may end later than any
MAX_INTERVAL_MS = 1_500  # between two polls, while it is not known when a job of its kind ends
INTERVAL_GROWTH = 1.3


def interval_ms(first_s: float, polls: int) -> int:
    """Milliseconds until the next poll without a plan: from the first interval, growing with each poll."""
    first = first_s * 1000
    return round(min(first * INTERVAL_GROWTH ** min(polls, 30), max(first, MAX_INTERVAL_MS)))


def bin_of(age_ms: float) -> int:
    """The bin of an age."""
    return min(bisect_right(EDGES_S, max(0.0, age_ms / 1000)) - 1, BINS - 1)


class PollPlan:
    """How long to wait between polls at each age; `counts` are ends by bin, `first_s` the shortest wait."""

    def __init__(self, counts: Mapping[int, int], *, first_s: float) -> None:
        longest = max(LONGEST_S, first_s)
        ends = _smooth([counts.get(number, 0) for number in range(BINS)])
        later = [*accumulate(reversed(ends))][::-1]  # ends in this bin and after it
        unseen = UNSEEN_SHARE * math.sqrt(later[0])
        self._first_s = first_s
        rates = (
            (n + unseen) / (more + UNSEEN_JOBS * unseen) / width
            for n, more, width in zip(ends, later, WIDTHS_S, strict=True)
        )
        self._waits_s = [min(longest, max(first_s, math.sqrt(2 * POLL_WORTH_S / rate))) for rate in rates]
        shares = (width / wait for width, wait in zip(WIDTHS_S, self._waits_s, strict=True))
        self._polls = [0.0, *accumulate(shares)]  # that fit between age 0 and the start of each bin

    def wait_ms(self, age_ms: float) -> int:
        """From a poll at this age until the next one: never longer than the age itself, at the start."""
        age_s = max(0.0, age_ms / 1000)
        number = bin_of(age_ms)
        wanted = self._polls[number] + (age_s - EDGES_S[number]) / self._waits_s[number] + 1
        number = min(bisect_right(self._polls, wanted) - 1, BINS - 1)
        next_s = EDGES_S[number] + (wanted - self._polls[number]) * self._waits_s[number]
        return round(1000 * min(next_s - age_s, max(self._first_s, age_s)))


def _smooth(counts: list[int]) -> list[float]:
    """The counts, each spread over the bins around it: few ends say less exactly where the next ones will be.

    The width is Silverman's, from the middle half of the ends.
    """
    total = sum(counts)
    below = [*accumulate(counts)]
    middle = bisect_right(below, total * 3 / 4) - bisect_right(below, total / 4)
    reach = max(1, round(0.9 * middle / 1.34 * total**-0.2))
    weights = [reach + 1 - abs(step) for step in range(-reach, reach + 1)]
    smooth = [0.0] * len(counts)
    for number, count in enumerate(counts):
        for step, weight in enumerate(weights, -reach):
            if count and 0 <= number + step < len(counts):
                smooth[number + step] += count * weight / sum(weights)
    return smooth
