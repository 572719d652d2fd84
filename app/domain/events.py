"""Events of a team: changes of its jobs, and notices about budgets and webhook endpoints."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from app.domain.jobs import TERMINAL_STATES, Job, Status
from app.domain.limits import Owner, Window

BUDGET_THRESHOLD = "budget.threshold"
ENDPOINT_DISABLED = "endpoint.disabled"
ENDPOINT_TEST = "endpoint.test"
EVENT_TYPES = (
    *(f"job.{status.value}" for status in Status),
    BUDGET_THRESHOLD,
    ENDPOINT_DISABLED,
    ENDPOINT_TEST,
)
END_EVENTS = frozenset(f"job.{status.value}" for status in TERMINAL_STATES)


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
    """A money limit is used or held to `threshold` percent; amounts in micro-dollars. `user`: of a user's limit."""

    type: ClassVar[str] = BUDGET_THRESHOLD

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


@dataclass(frozen=True, slots=True)
class EndpointNotice:
    """A webhook endpoint of the team was disabled, with the reason as a sentence, or is tested."""

    user: ClassVar[None] = None

    id: str
    type: str
    at_ms: int
    endpoint: str
    url: str
    reason: str | None


Notice: TypeAlias = BudgetNotice | EndpointNotice
