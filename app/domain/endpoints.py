"""Webhook endpoints: a team's addresses, the events they subscribe to, and the secrets that sign messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.errors import Code, Conflict
from app.domain.events import END_EVENTS

EndpointStatus = Literal["active", "paused", "disabled"]
NO_ENDPOINT = "There is no webhook endpoint with this id."
DEFAULT_EVENTS = ("job.held", *sorted(END_EVENTS))  # the subscription of an endpoint that names no events
MAX_ENDPOINTS_PER_TEAM = 50
MAX_SIGNING_SECRETS = 3  # of one endpoint at the same time
DAY_S = 86_400
MAX_OVERLAP_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, `whsec_…`, and until when (ms) it signs; None for the newest, which has no end."""

    text: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A team's webhook endpoint.

    Attributes:
        events: the event types that are sent to it.
        models: only events of these models' jobs are sent to it; None for all.
        asymmetric: messages also have `v1a`, a signature by the installation's key.
        secrets: the newest first.
        paused_ms: since when its deliveries wait; None while they are sent.
        disabled_ms: since when nothing is sent to it; the reason is in `disabled_reason`.
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
        """The store's name of its deliveries' destination."""
        return f"{self.team}/{self.id}"

    @property
    def status(self) -> EndpointStatus:
        """`active`, `paused` or `disabled`."""
        if self.disabled_ms is not None:
            return "disabled"
        return "active" if self.paused_ms is None else "paused"


def overlap_ends(secrets: Sequence[Secret], now_ms: int) -> list[int]:
    """The ends (ms) of the older secrets that still sign."""
    return [secret.until_ms for secret in secrets if secret.until_ms is not None and now_ms < secret.until_ms]


def active_secrets(secrets: Sequence[Secret], now_ms: int) -> list[str]:
    """The secrets that sign now, the newest first."""
    return [secret.text for secret in secrets if secret.until_ms is None or now_ms < secret.until_ms]


def rotate(secrets: Sequence[Secret], new: str, *, now_ms: int, overlap_ms: int) -> tuple[Secret, ...]:
    """The secrets after a rotation: the new one, and the older ones that still sign.

    The previous newest ends after the overlap; older ones keep their end. An overlap of 0 ends all of them at once,
    for a secret that has leaked. Conflict when more than three would sign.
    """
    if overlap_ms == 0:
        return (Secret(new),)
    ends_ms = now_ms + overlap_ms
    kept = [Secret(secret.text, ends_ms if secret.until_ms is None else secret.until_ms) for secret in secrets]
    active = tuple(secret for secret in kept if secret.until_ms is not None and now_ms < secret.until_ms)
    if len(active) >= MAX_SIGNING_SECRETS:
        raise Conflict(
            f"{MAX_SIGNING_SECRETS} secrets sign already; wait until one ends, or rotate with an overlap of 0.",
            code=Code.TOO_MANY_SECRETS,
        )
    return (Secret(new), *active)
