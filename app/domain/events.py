"""What happened to a job, in the order it happened."""

from dataclasses import dataclass

from app.domain.jobs import ENDS, Job, Status
from app.domain.limits import Owner, Window

BUDGET_THRESHOLD = "budget.threshold"
EVENT_TYPES = (*(f"job.{status.value}" for status in Status), BUDGET_THRESHOLD)
END_EVENTS = frozenset(f"job.{status.value}" for status in ENDS)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a job: `id` is the team stream's (milliseconds, dash, counter); `job` has no input."""

    id: str
    type: str
    sequence: int
    at_ms: int
    job: Job


@dataclass(frozen=True, slots=True)
class BudgetNotice:
    """So many percent of a money limit are used or held; amounts in micro-dollars. `user` where it is a user's."""

    id: str
    at_ms: int
    threshold: int
    owner: Owner
    window: Window
    amount: int
    used: int
    held: int
    resets_ms: int | None
    user: str | None
