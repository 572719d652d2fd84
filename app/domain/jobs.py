"""The job: one generation asked for by a caller, from `queued` to one of three ends.

queued      → submitting · canceled · failed · running (fal shows the marker of an attempt we thought refused)
submitting  → running · queued (refused for now, attempt + 1) · held · failed
held        → running · queued · failed        the submission's outcome is unknown
running     → finalizing · failed · canceled (fal never said its end, or an administrator has)
finalizing  → succeeded · failed · canceled
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    RUNNING = "running"
    FINALIZING = "finalizing"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """True for the three ends, which are final."""
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})
LIVE = (Status.SUBMITTING, Status.HELD, Status.RUNNING, Status.FINALIZING)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # A queued job is running when fal shows the marker of an attempt that we thought refused, or have forgotten.
    Status.QUEUED: frozenset({Status.SUBMITTING, Status.RUNNING, Status.CANCELED, Status.FAILED}),
    Status.SUBMITTING: frozenset({Status.RUNNING, Status.QUEUED, Status.HELD, Status.FAILED}),
    Status.HELD: frozenset({Status.RUNNING, Status.QUEUED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.FINALIZING, Status.FAILED, Status.CANCELED}),
    Status.FINALIZING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}


class Priority(StrEnum):
    """Who of one user's jobs goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Money(StrEnum):
    """What became of a job's reservation."""

    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"
    DISPUTED = "disputed"  # kept until a billing event or a day has passed


class Charge(StrEnum):
    """What an end does with the job's reservation."""

    KEEP = "keep"
    SPEND = "spend"
    RELEASE = "release"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code, a sentence, whether a new job may succeed, and what fal said."""

    code: str
    message: str
    retryable: bool = False
    upstream: dict[str, Any] | None = None

    def without_upstream_text(self) -> "JobError":
        """The same without what fal wrote; its status and its type stay."""
        kept = {name: value for name, value in (self.upstream or {}).items() if name in {"status", "error_type"}}
        return replace(self, upstream=None if self.upstream is None else kept)


CANCELED = JobError("canceled", "The job was cancelled before it was bought.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a job keeps of its submission as it was: who asked, for what, at which price (micro-dollars).

    A member here is carried from the submission to the record, and from there to the job, under its name.
    """

    team: str
    user: str
    key: str
    token: str | None = None  # the browser token that asked for it
    model: str
    input: dict[str, Any] | None  # None in an event, and once erased
    quoted_micro: int
    seconds: int
    price_version: str
    priority: Priority = Priority.NORMAL
    metadata: dict[str, str] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)  # input field → what was uploaded
    webhook_url: str | None = None
    webhook_style: str | None = None  # `fal`: told in fal's own shape; None: in ours
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(Order):
    """What a caller asks for: a door makes it of what was said, the check completes it, the store admits it.

    Until it is checked, its price is 0, the team, user, key, token, digest and zone of its caller are missing, and
    its input is as it was given.

    Attributes:
        digest: that of the key or token that asks.
        zone: the team's time zone as last seen.
        deadline_s: from admission; 0 for this installation's own, until it is checked.
        start_deadline_s: from admission; None for none.
        max_usd_micro: the most it may cost; None for whatever it costs.
        idempotency_key: the caller's; or one derived from the request, which is remembered for `dedup_ms`.
        fingerprint: SHA-256 of the request after defaults.
    """

    team: str = ""
    user: str = ""
    key: str = ""
    input: dict[str, Any]
    quoted_micro: int = 0
    seconds: int = 0
    price_version: str = ""
    digest: str = field(default="", repr=False)
    zone: str = "UTC"
    deadline_s: int = 0
    start_deadline_s: float | None = None
    max_usd_micro: int | None = None
    idempotency_key: str | None = None
    dedup_ms: int | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Order):
    """One generation. Times are Unix milliseconds by the store's clock; money is micro-dollars."""

    id: str
    status: Status
    created_ms: int
    deadline_ms: int
    attempt: int = 0
    nonce: str | None = None
    claimed_ms: int | None = None  # when the last attempt was claimed
    start_timeout_ms: int | None = None  # what fal was told to start that attempt in; 0: it was told nothing
    lease_ms: int | None = None  # until when a claimed submission may still be under way
    sequence: int = 0
    start_deadline_ms: int | None = None
    submitted_ms: int | None = None
    completed_ms: int | None = None
    cancel_requested_ms: int | None = None
    cancel_sent_ms: int | None = None
    expires_ms: int | None = None
    upstream_request_id: str | None = None
    upstream_status: str | None = None
    told_failed: bool = False  # fal's webhook called the generation a failure; its result decides
    upstream_done_ms: int | None = None  # when a poll first saw the generation completed
    misses: int = 0  # polls or result reads in a row that fal did not answer usefully
    logs: list[dict[str, Any]] = field(default_factory=list)
    output: dict[str, Any] | None = None
    error: JobError | None = None
    held_reason: str | None = None
    money: Money = Money.RESERVED
    charged_micro: int | None = None
    erased: bool = False
    # The beginnings of the calendar periods that its money counts in, frozen at admission (app/domain/starts.py);
    # `periods` are those of four windows as older versions wrote and read them.
    starts: str = field(default="", compare=False)
    periods: str = field(default="", compare=False)
