"""The job: one generation that a caller submitted, from `queued` to one of three terminal states.

queued      → submitting · canceled · failed · running (fal has the marker of an attempt that we thought refused)
submitting  → running · queued (refused for now, attempt + 1) · held · failed
held        → running · queued · failed        the submission's outcome is unknown
running     → finalizing · failed · canceled (fal never reported an end, or an administrator decided)
finalizing  → succeeded · failed · canceled
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.domain.ids import join_ref
from app.domain.record import record
from app.domain.traces import TraceParent, span_of, standard_id, write_traceparent


class Status(StrEnum):
    """The state of a job."""

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
        """True for the three terminal states."""
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})
LIVE = (Status.SUBMITTING, Status.HELD, Status.RUNNING, Status.FINALIZING)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # A queued job becomes running when fal has the marker of an attempt that we thought refused, or have forgotten.
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
    """The order of one user's jobs."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Money(StrEnum):
    """The state of a job's reservation."""

    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"
    DISPUTED = "disputed"  # kept until fal's bill has the request, or a day has passed


class Charge(StrEnum):
    """What a terminal state does with the job's reservation."""

    KEEP = "keep"
    SPEND = "spend"
    RELEASE = "release"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable code, a sentence, whether a new job may succeed, and fal's answer."""

    code: str
    message: str
    retryable: bool = False
    upstream: dict[str, Any] | None = None

    def without_upstream_text(self) -> "JobError":
        """The same with only status and type of fal's answer."""
        kept = {name: value for name, value in (self.upstream or {}).items() if name in {"status", "error_type"}}
        return replace(self, upstream=None if self.upstream is None else kept)


CANCELED = JobError("canceled", "The job was cancelled before it was bought.")


@record
class Order:
    """The members that a job takes unchanged from its submission; prices are micro-dollars.

    Each has the same name in the submission, in the stored record and in the job.
    """

    team: str
    user: str
    key: str
    token: str | None = None  # the id of the browser token that submitted it
    model: str
    input: dict[str, Any] | None  # None in an event, and after the job was erased
    quoted_micro: int
    seconds: int
    price_version: str
    basis: str | None = None  # what the price follows from, if not what was requested: measured, ceiling, flat
    priority: Priority = Priority.NORMAL
    metadata: dict[str, str] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)  # input field → the uploaded image
    webhook_url: str | None = None
    webhook_style: str | None = None  # `fal`: messages have fal's shape; None: ours
    trace_id: str | None = None
    trace_sampled: bool | None = None  # True when the caller, or this gateway, records the trace


@record
class Submission(Order):
    """A request for a job: the API builds it, the check completes it, the store admits it.

    Before the check its price is 0, its caller's team, user, key, token, digest and zone are missing, and its input
    is as the caller sent it.

    Attributes:
        digest: the digest of the caller's key or token.
        zone: the team's time zone as last read.
        deadline_s: from admission; before the check, 0 means this installation's default.
        start_deadline_s: from admission; None for none.
        max_usd_micro: the highest price the caller accepts; None for any.
        idempotency_key: the caller's; or one derived from the request, which is remembered for `dedup_ms`.
        answer: the id of the answer, where equal submissions are told apart by their answers (decision 16).
        fingerprint: SHA-256 of the request after defaults; empty without an idempotency key.
        price_note: a sentence about a price that is a ceiling.
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
    answer: str | None = None
    fingerprint: str = ""
    price_note: str | None = None


@record
class Job(Order):
    """One generation. Times are Unix milliseconds by the store's clock; money is micro-dollars."""

    id: str
    status: Status
    created_ms: int
    deadline_ms: int
    attempt: int = 0
    nonce: str | None = None
    claimed_ms: int | None = None  # when the last attempt was claimed
    start_timeout_ms: int | None = None  # the start timeout sent to fal with that attempt; 0: none
    lease_ms: int | None = None  # until when a claimed submission may still be in progress
    sequence: int = 0
    start_deadline_ms: int | None = None
    submitted_ms: int | None = None
    completed_ms: int | None = None
    cancel_requested_ms: int | None = None
    cancel_sent_ms: int | None = None
    expires_ms: int | None = None
    upstream_request_id: str | None = None
    upstream_status: str | None = None
    polled_ms: int | None = None  # when its last poll began
    upstream_done_ms: int | None = None  # when a poll first found the generation completed
    misses: int = 0  # polls or result reads in a row without a usable answer
    logs: list[dict[str, Any]] = field(default_factory=list)
    output: dict[str, Any] | None = None  # `kept` in a file: our copy of it (app/domain/clips.py)
    pending_output: dict[str, Any] | None = None  # of a finalizing job that ends when its files are copied
    clip_secret: str | None = None  # signs the addresses of its files, where the gateway copies them
    clip_until_ms: int | None = None  # when those addresses end
    copy_failures: int = 0  # of copying its files, in a row
    error: JobError | None = None
    held_reason: str | None = None
    money: Money = Money.RESERVED
    charged_micro: int | None = None
    billable_units: str | None = None  # that fal named with the result, of the model's unit: a decimal number
    erased: bool = False
    turns: str = field(default="", compare=False)  # states that no time above tells (app/domain/history.py)
    entries: str = field(default="", compare=False)  # ids of ledger entries after its end
    # The beginnings of the calendar periods that its money counts in, fixed at admission (app/domain/starts.py);
    # `periods` has four of them in the form of older versions.
    starts: str = field(default="", compare=False)
    periods: str = field(default="", compare=False)

    @property
    def ref(self) -> str:
        """The job's name in the store and in tasks: `team/job`."""
        return join_ref(self.team, self.id)

    @property
    def trace(self) -> TraceParent | None:
        """Where its spans belong: below its admission. None for a job of an older version."""
        if self.trace_id is None:
            return None
        return TraceParent(standard_id(self.trace_id), span_of(self.id), bool(self.trace_sampled))

    def traceparent(self, span: str) -> str | None:
        """The W3C header for a call about the job with this span; None for a job of an older version."""
        if self.trace_id is None:
            return None
        return write_traceparent(self.trace_id, span, sampled=bool(self.trace_sampled))

    @property
    def names(self) -> dict[str, str]:
        """What a log line about the job names; none of it is the caller's content."""
        known = {"trace_id": self.trace_id, "upstream_request_id": self.upstream_request_id}
        own = {"job": self.id, "team": self.team, "user": self.user, "key": self.key}
        return own | {name: value for name, value in known.items() if value}
