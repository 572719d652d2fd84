"""Webhook endpoints: a team's addresses, what they want to hear, and the secrets that sign it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.errors import Code, Conflict
from app.domain.events import END_EVENTS

EndpointStatus = Literal["active", "paused", "disabled"]
NO_ENDPOINT = "There is no webhook endpoint with this id."
DEFAULT_EVENTS = ("job.held", *sorted(END_EVENTS))  # what an endpoint hears that does not say what it wants
MAX_ENDPOINTS_PER_TEAM = 50  # of one team
MAX_SIGNING_SECRETS = 3  # that sign at the same time
DAY_S = 86_400
MAX_OVERLAP_S = 7 * DAY_S


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
    def status(self) -> EndpointStatus:
        """`active`, `paused` or `disabled`."""
        if self.disabled_ms is not None:
            return "disabled"
        return "active" if self.paused_ms is None else "paused"


def overlap_ends(secrets: Sequence[Secret], now_ms: int) -> list[int]:
    """Until when (ms) each older secret signs that still does."""
    return [one.until_ms for one in secrets if one.until_ms is not None and now_ms < one.until_ms]


def active_secrets(secrets: Sequence[Secret], now_ms: int) -> list[str]:
    """The secrets that sign now, the newest first."""
    return [secret.text for secret in secrets if secret.until_ms is None or now_ms < secret.until_ms]


def rotate(secrets: Sequence[Secret], new: str, *, now_ms: int, overlap_ms: int) -> tuple[Secret, ...]:
    """The secrets after a rotation: the new one, and those that go on signing for a while.

    The newest until now ends after the overlap; older ones end when they would have. An overlap of 0 ends all of
    them at once, as a secret that leaked should. Conflict when there would be more than three.
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
