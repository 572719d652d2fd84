"""The ledger: every movement of money, a team's sums, and the outcomes of a correction."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.starts import Starts


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of money, in micro-dollars.

    `reserve`, `settle`, `release` and `dispute` are a job's whole amount. `correction` is a difference, which may
    be negative, and `credit` raises the team's budget; both may be without a job. `starts` are the calendar periods
    that the entry counts in; a correction without a job has none and counts in the total only.
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
    """The outcome of a correction."""

    GONE = "gone"  # the job's record has expired
    OPEN = "open"  # the job has not ended
    BELOW = "below"  # the sum would become negative, because of an earlier correction without a job
    SAME = "same"  # the charge is this amount already
    DECIDED = "decided"  # it ended a dispute, at the quoted price or at 0
    CORRECTED = "corrected"
