"""Events of a team: changes of its jobs, and notices about budgets and webhook endpoints."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from app.domain.jobs import TERMINAL_STATES, Job
from app.domain.limits import Owner, Window

BUDGET_THRESHOLD = "budget.threshold"
ENDPOINT_DISABLED = "endpoint.disabled"
ENDPOINT_TEST = "endpoint.test"
EVENT_MEANINGS = {
    "job.queued": "The job was accepted and waits in line; also again when fal refused it for now.",
    "job.submitting": "The job has a slot, and its submission is on the way to fal.",
    "job.running": "fal has accepted the job.",
    "job.finalizing": "fal has finished; the result is being read.",
    "job.held": "It is unknown whether fal accepted the submission. Nothing is sent again until that is known.",
    "job.succeeded": "The clip is ready; `data.output` has it.",
    "job.failed": "The job has failed; `data.error` says why.",
    "job.canceled": "The job was cancelled.",
    BUDGET_THRESHOLD: "50, 80 or 100 % of a limit on money are used or held.",
    ENDPOINT_DISABLED: "A webhook endpoint was disabled after many failures; the team's other endpoints get it.",
    ENDPOINT_TEST: "Somebody asked for a test of the webhook endpoint; only that one gets it.",
}
EVENT_TYPES = tuple(EVENT_MEANINGS)
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
