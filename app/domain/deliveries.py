"""Webhook deliveries: one event for one destination, and all rules of sending, retrying and keeping it.

A destination is an endpoint of the team, or an address that a job names. All figures of the policy are here; a test
compares the pages with them.
"""

from dataclasses import dataclass
from typing import Literal

from app.domain.events import Event, Notice
from app.domain.ids import split_ref

DAY_MS = 86_400_000

# The schedule: seconds before each attempt, Standard Webhooks' advice, ten attempts over some 76 hours.
SCHEDULE_S: tuple[int, ...] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.2

# One attempt.
ATTEMPT_TIMEOUT_S = 15.0
ATTEMPT_LEASE_MS = 20_000  # longer than an attempt may take: no other process sends the delivery meanwhile
SLOW_ANSWER_MS = 2_000  # an answer that took longer was slow
MAX_MESSAGE_BYTES = 20_000  # Standard Webhooks asks for messages below 20 KB
MAX_BODY_READ_BYTES = 65_536  # of an answer
MAX_ANSWER_BYTES = 2 * MAX_BODY_READ_BYTES  # in all, with its headers and its framing
MAX_BODY_KEPT_BYTES = 4_096
MAX_LOCATION_CHARS = 200  # of a redirect's address, which is shown

# Fairness: how many are in flight.
MAX_IN_FLIGHT = 4  # to one destination; one unless it answered well and at once the last time
MAX_IN_FLIGHT_PER_HOST = 2 * MAX_IN_FLIGHT  # to all addresses that one team's jobs name at one host
MAX_IN_FLIGHT_PER_TEAM = 32  # of one process
MAX_IN_FLIGHT_PER_PROCESS = 4 * MAX_IN_FLIGHT_PER_TEAM  # fewer than its connections to the store, needed in turn

# The breaker of a destination, and how long its health is remembered.
BREAKER_FAILURES = 10  # in a row open it
BREAKER_PAUSE_MS = 60_000  # until a probe
ENDPOINT_HEALTH_MS = 7 * DAY_MS  # longer than an endpoint may fail
ADDRESS_HEALTH_MS = 3_600_000  # of an address that a job names

# When an endpoint is disabled: so many failures in a row, over at least this time; or at once by a 410.
DISABLE_AFTER_FAILURES = 20
DISABLE_AFTER_MS = 5 * DAY_MS
HTTP_GONE = 410

# Retention and replays.
DEAD_LETTERS_MS = 30 * DAY_MS
EARLIER_ATTEMPTS_KEPT = 50  # from before the last replay: five whole schedules
REPLAYS_KEPT = 20
PROMPT_CHARS = 120  # of the beginning of its job's prompt, by which people know a delivery
REPLAY_SPACING_MS = 100  # between two to the same destination, where many are replayed at once
MAX_REPLAYED_PER_REQUEST = 1_000
REPLAYS_PER_MINUTE = 60  # of one delivery each, by one team
BULK_REPLAYS_PER_MINUTE = 10  # of many, by one team

DeliveryStatus = Literal["due", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt: when (ms), how long, what was answered, and the address it went to.

    `url` is None in records of older versions, and where it is not known: `worker_died`.
    """

    at_ms: int
    status: int | None
    duration_ms: int
    outcome: str
    error: str | None
    answer: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one destination; `id` is the `webhook-id`, the same in every attempt.

    `destination` is `team/ep_…` for an endpoint and `team/host:…#…` for a job's own address; `url` is the address
    when it was written. `style` is the form of the message: None for our own, `fal` for that of fal's webhooks.
    """

    id: str
    team: str
    destination: str
    url: str
    status: DeliveryStatus
    created_ms: int
    event: Event | Notice
    attempts: tuple[DeliveryAttempt, ...]
    style: Literal["fal"] | None = None

    @property
    def endpoint(self) -> str | None:
        """The id of the endpoint, or None for a job's own address."""
        name = split_ref(self.destination)[1]
        return name if name.startswith("ep_") else None


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a destination: failures in a row, and since when (ms).

    `probe_ms` is when the next delivery is tried while the breaker is open; None where it is closed.
    """

    failures: int = 0
    since_ms: int | None = None
    probe_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """The number of the delivery's attempts so far (0: it had ended already), and its destination's health.

    `failures` in a row since `since_ms`, both 0 where the attempt was no failure; `now_ms` is the store's time.
    """

    attempts: int
    failures: int
    since_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which deliveries: to this endpoint, in these states, of these event types, written from … until before (ms).

    None means any. Dead letters are listed by the time they were given up, other deliveries by the time they were
    written.
    """

    endpoint: str | None = None
    statuses: frozenset[DeliveryStatus] | None = None
    events: frozenset[str] | None = None
    from_ms: int | None = None
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """When (ms) and by which user a delivery was replayed, and its status before."""

    at_ms: int
    by: str
    status: DeliveryStatus


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """A delivery with its history.

    `earlier` are the attempts before the last replay; `next_ms` is the time of the next attempt, None for no more.
    `prompt` is the beginning of its job's prompt; None where there is none any more, or it was not read.
    """

    delivery: Delivery
    earlier: tuple[DeliveryAttempt, ...]
    replays: tuple[Replay, ...]
    died_ms: int | None
    next_ms: int | None = None
    prompt: str | None = None

    @property
    def attempts(self) -> tuple[DeliveryAttempt, ...]:
        """Every attempt that is still stored, the oldest first."""
        return self.earlier + self.delivery.attempts


def next_delay(attempt: int, retry_after: int | None, jitter: float) -> int | None:
    """Seconds to wait after `attempt` attempts (0 before the first); None after the last.

    `jitter` is a random number from -1 to 1 that changes the delay by up to 20 %. A receiver's Retry-After may
    double the delay, and never shortens it.
    """
    if attempt >= len(SCHEDULE_S):
        return None
    planned = SCHEDULE_S[attempt]
    delay = round(planned * (1 + JITTER * jitter))
    return delay if retry_after is None else min(max(delay, retry_after), 2 * planned)


def verdict(*, is_endpoint: bool, outcome: str, status: int | None, duration_ms: int) -> str:
    """An attempt's outcome for its destination's health: `good`, `slow`, `failed`, or "" for no change.

    For a job's own address any answer of its host is good, because other addresses there may work. An endpoint that
    rejects one message permanently (`gone`, without 410) is not unhealthy.
    """
    if outcome == "delivered" or (status is not None and not is_endpoint):
        return "slow" if duration_ms > SLOW_ANSWER_MS else "good"
    return "" if outcome == "gone" and status != HTTP_GONE else "failed"


def why_disabled(*, status: int | None, failures: int, since_ms: int, now_ms: int) -> str | None:
    """The reason to disable an endpoint after a failed attempt, as a sentence; None to keep it active."""
    if status == HTTP_GONE:
        return "The endpoint answered 410 Gone."
    if failures >= DISABLE_AFTER_FAILURES and now_ms - since_ms >= DISABLE_AFTER_MS:
        return f"Every attempt of the last {DISABLE_AFTER_MS // DAY_MS} days failed, {failures} in a row."
    return None
