"""The books: every movement of money, a team's sums, and what becomes of a correction."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.starts import Starts


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of money, in micro-dollars.

    `reserve`, `settle`, `release` and `dispute` are a job's whole amount; `correction` is a difference, and may be
    negative; `credit` is the team's. The last two may be about no job. `starts` are the calendar periods that the
    entry counts in; none for a correction about no job, which counts in total only.
    """

    id: str
    type: str
    job: str
    user: str
    key: str
    token: str
    model: str
    seconds: int
    amount: int
    at_ms: int
    admitted_ms: int
    price_version: str
    starts: Starts
    reason: str


@dataclass(frozen=True, slots=True)
class Balance:
    """A team's sums, in micro-dollars."""

    reserved: int
    spent: int


class Correction(StrEnum):
    """What became of a correction."""

    GONE = "gone"  # the job's record has expired
    OPEN = "open"  # the job has not ended
    BELOW = "below"  # less than nothing would be spent: a correction about no job took it away before
    SAME = "same"  # it was charged as much already
    DECIDED = "decided"  # it ended a dispute, at the quoted price or for nothing
    CORRECTED = "corrected"
