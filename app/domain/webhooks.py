"""Webhook endpoints: a team's addresses, what they want to hear, and the secrets that sign it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import Conflict
from app.domain.events import END_EVENTS

USUAL_EVENTS = ("job.held", *sorted(END_EVENTS))  # what an endpoint hears that does not say what it wants
ENDPOINTS = 50  # of one team
SECRETS = 3  # that sign at the same time
DAY_S = 86_400
LONGEST_OVERLAP_S = 7 * DAY_S

FAILURES_UNTIL_DISABLED = 20  # in a row, and over this time:
FAILING_MS = 120 * 3_600_000
HTTP_GONE = 410
SLOW_MS = 2_000  # an answer that took longer was slow


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, `whsec_…`, and until when (ms) it signs; None for the newest, which stays."""

    text: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A team's webhook endpoint.

    Attributes:
        events: the types of events that it wants.
        models: the only models whose jobs it wants to hear of; None for all.
        asymmetric: messages also carry `v1a`, signed with the installation's key.
        secrets: the newest first.
        paused_ms: since when its deliveries wait; None while they are sent.
        disabled_ms: since when nothing is sent to it, and why in `disabled_reason`.
    """

    id: str
    team: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created_ms: int
    models: tuple[str, ...] | None = None
    description: str = ""
    asymmetric: bool = False
    paused_ms: int | None = None
    disabled_ms: int | None = None
    disabled_reason: str | None = None

    @property
    def destination(self) -> str:
        """How the store names where its deliveries go."""
        return f"{self.team}/{self.id}"

    @property
    def status(self) -> str:
        """`active`, `paused` or `disabled`."""
        if self.disabled_ms is not None:
            return "disabled"
        return "active" if self.paused_ms is None else "paused"


@dataclass(frozen=True, slots=True)
class Health:
    """How the attempts at a destination go: failures in a row, and since when (ms).

    `probe_ms` is when one delivery is tried again where its breaker is open; None where it is closed.
    """

    failures: int = 0
    since_ms: int | None = None
    probe_ms: int | None = None


def older_until(secrets: Sequence[Secret], now_ms: int) -> list[int]:
    """Until when (ms) each older secret signs that still does."""
    return [one.until_ms for one in secrets if one.until_ms is not None and now_ms < one.until_ms]


def signing(secrets: Sequence[Secret], now_ms: int) -> list[str]:
    """The secrets that sign now, the newest first."""
    return [secret.text for secret in secrets if secret.until_ms is None or now_ms < secret.until_ms]


def rotated(secrets: Sequence[Secret], new: str, *, now_ms: int, overlap_ms: int) -> tuple[Secret, ...]:
    """The secrets after a rotation: the new one, and those that go on signing for a while.

    The newest until now ends after the overlap; older ones end when they would have. An overlap of 0 ends all of
    them at once, as a secret that leaked should. Conflict when there would be more than three.
    """
    if overlap_ms == 0:
        return (Secret(new),)
    ends_ms = now_ms + overlap_ms
    kept = [Secret(secret.text, ends_ms if secret.until_ms is None else secret.until_ms) for secret in secrets]
    active = tuple(secret for secret in kept if secret.until_ms is not None and now_ms < secret.until_ms)
    if len(active) >= SECRETS:
        raise Conflict(
            f"{SECRETS} secrets sign already; wait until one ends, or rotate with an overlap of 0.",
            code="too_many_secrets",
        )
    return (Secret(new), *active)


def verdict(*, is_endpoint: bool, outcome: str, status: int | None, duration_ms: int) -> str:
    """What an attempt says of its destination: `good`, `slow`, `failed`, or nothing (an empty text).

    At the host of a job's own webhook any answer is a sign of life: other addresses there may be well. That an
    endpoint wants one message no more (`gone`, without 410) says nothing of it.
    """
    if outcome == "delivered" or (status is not None and not is_endpoint):
        return "slow" if duration_ms > SLOW_MS else "good"
    return "" if outcome == "gone" and status != HTTP_GONE else "failed"


def why_disabled(*, status: int | None, failures: int, since_ms: int, now_ms: int) -> str | None:
    """The sentence that ends an endpoint after a failed attempt, or None while it may go on."""
    if status == HTTP_GONE:
        return "The endpoint answered 410 Gone."
    if failures >= FAILURES_UNTIL_DISABLED and now_ms - since_ms >= FAILING_MS:
        days = FAILING_MS // (DAY_S * 1000)
        return f"Every attempt of the last {days} days failed, {failures} in a row."
    return None
