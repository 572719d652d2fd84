"""The history of a job, for its caller and for administrators."""

from collections.abc import Sequence
from typing import cast

from typing_extensions import TypedDict

from app.domain.deliveries import LoggedDelivery
from app.domain.history import Outcome
from app.domain.jobs import Status
from app.domain.times import iso
from app.services.history import JobHistory
from app.views.accounts import NamedView
from app.views.fields import Object, Time
from app.views.jobs import ErrorView, error_view
from app.views.ledger import EntryView, entry_view
from app.views.operations import ListedOperatedJob, operated_job_view
from app.views.webhooks import DeliveryView, delivery_view


class TurnView(TypedDict):
    """A state of the job: since when, until when (null: now), for how long, and why it is in line again or held."""

    status: Status
    at: Time
    until: Time | None
    seconds: float | None
    reason: str | None


class SubmissionAttempt(TypedDict):
    """One submission to fal. `reason` is a word such as `upstream_busy`: why it was refused, or is unknown."""

    number: int
    at: Time
    outcome: Outcome
    ended_at: Time | None
    reason: str | None


class HistoryParts(TypedDict):
    """What a job went through: its states in order, its attempts at fal, and the movements of its money."""

    states: list[TurnView]
    attempts: list[SubmissionAttempt]
    entries: list[EntryView]


class HistoryView(HistoryParts):
    """The history of a job."""

    job: str
    user: NamedView
    cancel_requested_at: Time | None


class OperatedJobDetails(ListedOperatedJob, HistoryParts):
    """A job as administrators see it, with its history, fal's error and log lines, and its newest 50 deliveries."""

    error: ErrorView | None
    logs: list[Object]
    deliveries: list[DeliveryView]


def history_view(history: JobHistory) -> HistoryView:
    """The history of a job, as its caller sees it."""
    job = history.job
    return {
        "job": job.id,
        "user": {"id": job.user, "name": history.names.users[job.user]},
        **_parts(history),
        "cancel_requested_at": iso(job.cancel_requested_ms),
    }


def operated_job_details(
    history: JobHistory, *, held_ms: int | None, deliveries: Sequence[LoggedDelivery]
) -> OperatedJobDetails:
    """A job as administrators see it; `held_ms` is since when it is held."""
    job = history.job
    return {
        **operated_job_view(job, held_ms),
        "team_name": history.names.teams[job.team],
        "user_name": history.names.users[job.user],
        "error": error_view(job),
        "logs": job.logs,
        **_parts(history),
        "deliveries": [delivery_view(one) for one in deliveries],
    }


def _parts(history: JobHistory) -> HistoryParts:
    return {
        "states": [
            {
                "status": cast("Status", turn.status.value),
                "at": iso(turn.at_ms),
                "until": iso(turn.until_ms),
                "seconds": None if turn.until_ms is None else (turn.until_ms - turn.at_ms) / 1000,
                "reason": turn.reason,
            }
            for turn in history.turns
        ],
        "attempts": [
            {
                "number": one.number,
                "at": iso(one.at_ms),
                "outcome": one.outcome,
                "ended_at": iso(one.ended_ms),
                "reason": one.reason,
            }
            for one in history.attempts
        ],
        "entries": [entry_view(entry) for entry in history.money],
    }
