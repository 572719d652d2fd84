"""What happened to a job, in the order it happened."""

from dataclasses import dataclass

from app.domain.jobs import ENDS, Job, Status

EVENT_TYPES = tuple(f"job.{status.value}" for status in Status)
END_EVENTS = frozenset(f"job.{status.value}" for status in ENDS)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a job: `id` is the team stream's (milliseconds, dash, counter); `job` has no input."""

    id: str
    type: str
    sequence: int
    at_ms: int
    job: Job
