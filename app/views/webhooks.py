"""Webhook endpoints, signing secrets, and the log of deliveries."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from app.domain.deliveries import DeliveryAttempt, DeliveryStatus, Health, LoggedDelivery
from app.domain.endpoints import Endpoint, EndpointStatus, Secret, overlap_ends
from app.domain.events import Event
from app.domain.times import iso
from app.services.delivery_log import DeliveryPage, Replayed
from app.views.fields import Time


class EndpointView(TypedDict):
    """A webhook endpoint and its health; `public_key` verifies `v1a` signatures, if it has those."""

    id: str
    url: str
    events: list[str]
    models: list[str] | None
    description: str
    status: EndpointStatus
    paused_at: Time | None
    disabled_at: Time | None
    disabled_reason: str | None
    asymmetric: bool
    created_at: Time
    older_secrets_until: list[Time]
    failures_in_a_row: int
    failing_since: Time | None
    next_probe_at: Time | None
    public_key: NotRequired[str | None]


class NewEndpointView(EndpointView):
    """An endpoint with its new secret, which is shown only once."""

    secret: str


class EndpointList(TypedDict):
    """The team's endpoints, the oldest first."""

    data: list[EndpointView]


class SentTestView(TypedDict):
    """The test's delivery, for `GET /v1/deliveries/{delivery}`."""

    delivery: str


class SecretView(TypedDict):
    """The team's secret, and until when older ones also sign."""

    secret: str
    older_secrets_until: list[Time]


class AttemptView(TypedDict):
    """One attempt: its URL, the reply, and the outcome; without a reply `status` is null, and `answer` says why.

    `error` is `timeout`, `connect`, `tls`, `forbidden_target`, `redirect`, `too_large`, `protocol`, `worker_died`,
    or null where the status says enough.
    """

    at: Time
    url: str | None
    status: int | None
    duration_ms: int
    outcome: str
    error: str | None
    answer: str


class ReplayView(TypedDict):
    """A replay: when, by which user, and the status before it."""

    at: Time
    by: str
    replayed_from: DeliveryStatus


class DeliveryView(TypedDict):
    """A delivery with every attempt, the oldest first; `next_attempt_at` is null when there is no further one.

    `prompt` is the beginning of the job's prompt; null for administrators, and once the job is erased or forgotten.
    """

    id: str
    event: str
    job: str | None
    model: str | None
    prompt: str | None
    endpoint: str | None
    url: str | None
    status: DeliveryStatus
    created_at: Time
    next_attempt_at: Time | None
    dead_at: Time | None
    attempts: list[AttemptView]
    replays: list[ReplayView]


class DeliveryList(TypedDict):
    """Deliveries, newest first; `next_cursor` is null on the last page."""

    data: list[DeliveryView]
    next_cursor: str | None
    has_more: bool


class ReplayedView(TypedDict):
    """How many deliveries are sent again and how many were skipped; `more`: continue with `next_cursor`."""

    replayed: int
    skipped: int
    more: bool
    next_cursor: str | None


def endpoint_view(endpoint: Endpoint, health: Health, *, now_ms: int, public_key: str | None) -> EndpointView:
    """An endpoint and its health."""
    view: EndpointView = {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "models": None if endpoint.models is None else list(endpoint.models),
        "description": endpoint.description,
        "status": endpoint.status,
        "paused_at": iso(endpoint.paused_ms),
        "disabled_at": iso(endpoint.disabled_ms),
        "disabled_reason": endpoint.disabled_reason,
        "asymmetric": endpoint.asymmetric,
        "created_at": iso(endpoint.created_ms),
        "older_secrets_until": [iso(until_ms) for until_ms in overlap_ends(endpoint.secrets, now_ms)],
        "failures_in_a_row": health.failures,
        "failing_since": iso(health.since_ms),
        "next_probe_at": iso(health.probe_ms) if endpoint.status == "active" else None,
    }
    if endpoint.asymmetric:
        view["public_key"] = public_key
    return view


def secret_view(secrets: Sequence[Secret], *, now_ms: int) -> SecretView:
    """A team's newest secret."""
    return {
        "secret": secrets[0].text,
        "older_secrets_until": [iso(until_ms) for until_ms in overlap_ends(secrets, now_ms)],
    }


def delivery_view(listed: LoggedDelivery) -> DeliveryView:
    """A delivery with its attempts and replays."""
    delivery = listed.delivery
    job = delivery.event.job if isinstance(delivery.event, Event) else None
    return {
        "id": delivery.id,
        "event": delivery.event.type,
        "job": None if job is None else job.id,
        "model": None if job is None else job.model,
        "prompt": listed.prompt,
        "endpoint": delivery.endpoint,
        "url": delivery.url or None,
        "status": delivery.status,
        "created_at": iso(delivery.created_ms),
        "next_attempt_at": iso(listed.next_ms) if delivery.status == "due" else None,
        "dead_at": iso(listed.died_ms),
        "attempts": [_attempt_view(attempt) for attempt in listed.attempts],
        "replays": [
            {"at": iso(replay.at_ms), "by": replay.by, "replayed_from": replay.status} for replay in listed.replays
        ],
    }


def delivery_list(page: DeliveryPage) -> DeliveryList:
    """A page of deliveries."""
    return {
        "data": [delivery_view(listed) for listed in page.deliveries],
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
    }


def replayed_view(done: Replayed) -> ReplayedView:
    """The result of a replay of many."""
    return {
        "replayed": done.replayed,
        "skipped": done.skipped,
        "more": done.next_cursor is not None,
        "next_cursor": done.next_cursor,
    }


def _attempt_view(attempt: DeliveryAttempt) -> AttemptView:
    return {
        "at": iso(attempt.at_ms),
        "url": attempt.url,
        "status": attempt.status,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "error": attempt.error,
        "answer": attempt.answer,
    }
