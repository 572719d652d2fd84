"""The installation as operators see it: health, overview, every team's jobs."""

from collections.abc import Mapping
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from app.domain.alarms import Alarm, AlarmState, Severity, severity_of
from app.domain.buying import ALL_TEAMS, EPOCH
from app.domain.ids import split_ref
from app.domain.jobs import Job, Money, Priority, Status
from app.domain.money import format_usd
from app.domain.times import iso
from app.services.alerts import AlertStatus, AlertTest
from app.services.listing import JobList
from app.services.operations import Overview
from app.views.fields import Time, Usd
from app.views.jobs import PausedView, paused_view

MAX_DELIVERIES = 50  # of one job, the newest


class LiveView(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class ReadyView(TypedDict):
    """Whether this process can do its work: accept jobs, and answer about them.

    `draining`: it stops soon. `workers_missing` are the roles without a live worker on any host.
    """

    status: Literal["ready", "not ready", "draining"]
    store: NotRequired[str]
    workers: NotRequired[int]
    workers_missing: NotRequired[list[str]]
    upstream_paused: NotRequired[PausedView | None]


class AttemptAtFal(TypedDict):
    """How to find a job's last submission at fal: when it was claimed and held, and the start of its tag."""

    claimed_at: Time | None
    held_at: Time | None
    fal_tag: str | None


class OperatedJobView(AttemptAtFal):
    """A job as administrators see it: its owner and its state at fal, but not its content."""

    id: str
    team: str
    user: str
    status: Status
    model: str
    attempt: int
    held_reason: str | None
    upstream_request_id: str | None
    upstream_status: str | None
    error_code: str | None
    money: Money
    quoted_usd: Usd
    charged_usd: Usd | None
    priority: Priority
    created_at: Time
    submitted_at: Time | None
    completed_at: Time | None
    deadline_at: Time
    cancel_requested_at: Time | None


class ListedOperatedJob(OperatedJobView):
    """The same in a list, with the names of its team and user."""

    team_name: str
    user_name: str


class OperatedJobPage(TypedDict):
    """Jobs of every team, newest first; `next_cursor` is null on the last page.

    `scanned` jobs were looked at. A page looks at a limited number, so it may be short, or empty, before the last.
    """

    data: list[ListedOperatedJob]
    next_cursor: str | None
    has_more: bool
    scanned: int


class BuyingView(TypedDict):
    """After a pause or a resume: the team, and why none of its jobs is bought now."""

    team: str | None
    upstream_paused: PausedView | None


class SlotsView(TypedDict):
    """Concurrent requests at fal; `hosts` if their settings differ."""

    used: int
    allowed: int
    configured: int
    hosts: NotRequired[dict[str, int]]


class BreakerView(TypedDict):
    """The breaker of calls to fal."""

    open: bool
    half_open: bool
    reason: str | None
    until: Time | None
    failures: int
    last_failure: str | None


class PauseView(TypedDict):
    """A pause; `team` is null for a pause of all teams.

    `paused_at` and `paused_by` are those of its newest line in the audit log; null where that is long ago, or where
    no administrator paused.
    """

    team: str | None
    name: str | None
    reason: str
    paused_at: Time | None
    paused_by: str | None


class LineView(TypedDict):
    """A team's jobs that are queued, running or held."""

    team: str
    name: str
    weight: int
    queued: int
    running: int
    held: int


class HeldView(TypedDict):
    """Jobs whose submission has an unknown outcome, and the one held for longest."""

    count: int
    oldest_at: Time | None
    oldest_job: str | None


class AsideView(TypedDict):
    """Quarantined steps."""

    count: int
    oldest_at: Time | None


class AlarmView(TypedDict):
    """An alarm; members that do not apply are null. docs/runbook.md has a section for each `kind`.

    `about` distinguishes active alarms of one kind, such as a host's name.
    """

    at: Time
    kind: str
    severity: Severity
    state: AlarmState
    message: str
    about: str | None
    job: str | None
    upstream_request_id: str | None


class AlertsView(TypedDict):
    """Whether alarms are sent to the operators' receiver; `waiting` messages are not sent yet.

    While the receiver fails: since when, how often in a row, and its last error.
    """

    sent: bool
    waiting: int
    failing_since: Time | None
    failures: int
    error: str | None


class AlertTestView(TypedDict):
    """How the receiver of alarms answered a test message; `status` is null without an answer.

    `answer` has its first 200 characters: enough for a reason, too little for a page of another service.
    """

    delivered: bool
    status: int | None
    error: str | None
    duration_ms: int
    answer: str


class OverviewView(TypedDict):
    """Slots, breaker, pauses, queue by team, workers, held jobs, quarantined steps and alarms.

    `upstream_paused` is why no job of any team is bought, or null. `active_alarms` are not over; `alarms` are the
    newest as they were raised and resolved.
    """

    upstream_paused: str | None
    slots: SlotsView
    breaker: BreakerView
    pauses: list[PauseView]
    line: list[LineView]
    workers: dict[str, int]
    held: HeldView
    aside: AsideView
    active_alarms: list[AlarmView]
    alarms: list[AlarmView]
    alerts: AlertsView


def attempt_view(job: Job, held_ms: int | None) -> AttemptAtFal:
    """How to find a job's last submission at fal; `held_ms` is since when it is held.

    The whole tag ends with the marker's mac (`app/domain/marker.py`), which a search does not need.
    """
    return {
        "claimed_at": iso(job.claimed_ms),
        "held_at": iso(held_ms),
        "fal_tag": None if job.nonce is None else f"filmgate={job.id}.{job.nonce}",
    }


def operated_job_view(job: Job, held_ms: int | None = None) -> OperatedJobView:
    """A job as administrators see it; `held_ms` is since when it is held."""
    return {
        "id": job.id,
        "team": job.team,
        "user": job.user,
        "status": job.status,
        "model": job.model,
        "attempt": job.attempt,
        "held_reason": job.held_reason,
        **attempt_view(job, held_ms),
        "upstream_request_id": job.upstream_request_id,
        "upstream_status": job.upstream_status,
        "error_code": None if job.error is None else job.error.code,
        "money": job.money,
        "quoted_usd": format_usd(job.quoted_micro),
        "charged_usd": None if job.charged_micro is None else format_usd(job.charged_micro),
        "priority": job.priority,
        "created_at": iso(job.created_ms),
        "submitted_at": iso(job.submitted_ms),
        "completed_at": iso(job.completed_ms),
        "deadline_at": iso(job.deadline_ms),
        "cancel_requested_at": iso(job.cancel_requested_ms),
    }


def operated_job_page(page: JobList, held_since: Mapping[str, int]) -> OperatedJobPage:
    """A page of every team's jobs; `held_since` is since when those of them that are held are so, by id."""
    return {
        "data": [
            {
                **operated_job_view(job, held_since.get(job.id)),
                "team_name": page.names.teams[job.team],
                "user_name": page.names.users[job.user],
            }
            for job in page.jobs
        ],
        "next_cursor": page.next_cursor,
        "has_more": page.next_cursor is not None,
        "scanned": page.scanned,
    }


def buying_view(team: str | None, reason: str | None) -> BuyingView:
    """Whether jobs are bought for a team, or for all."""
    return {"team": team, "upstream_paused": paused_view(reason)}


def overview_view(overview: Overview) -> OverviewView:
    """The overview."""
    buying, oldest = overview.buying, overview.oldest_held
    slots: SlotsView = {"used": buying.used, "allowed": buying.slots, "configured": buying.configured}
    if len(set(buying.hosts.values())) > 1:
        slots["hosts"] = buying.hosts
    return {
        "upstream_paused": buying.reason_for(""),
        "slots": slots,
        "breaker": {
            "open": buying.breaker is not None,
            "half_open": buying.half_open,
            "reason": buying.breaker,
            "until": iso(buying.until_ms),
            "failures": buying.failures,
            "last_failure": buying.last_failure,
        },
        "pauses": [
            {
                "team": None if who in {ALL_TEAMS, EPOCH} else who,
                "name": overview.names.get(who),
                "reason": reason,
                "paused_at": iso(overview.paused[who][0]) if who in overview.paused else None,
                "paused_by": overview.paused[who][1] if who in overview.paused else None,
            }
            for who, reason in sorted(buying.pauses.items())
        ],
        "line": [
            {
                "team": team.id,
                "name": team.name,
                "weight": team.weight,
                "queued": share.queued,
                "running": share.running,
                "held": share.held,
            }
            for team, share in overview.shares
        ],
        "workers": overview.workers,
        "held": {
            "count": overview.held,
            "oldest_at": None if oldest is None else iso(oldest[1]),
            "oldest_job": None if oldest is None else split_ref(oldest[0])[1],
        },
        "aside": {"count": overview.quarantined, "oldest_at": iso(overview.oldest_quarantined_ms)},
        "active_alarms": [_alarm_view(alarm) for alarm in overview.active_alarms],
        "alarms": [_alarm_view(alarm) for alarm in overview.alarms],
        "alerts": _alerts_view(overview.alerts),
    }


def _alerts_view(alerts: AlertStatus) -> AlertsView:
    receiver = alerts.receiver
    return {
        "sent": alerts.sent,
        "waiting": alerts.waiting,
        "failing_since": iso(receiver.since_ms),
        "failures": receiver.failures,
        "error": receiver.error,
    }


def alert_test_view(tried: AlertTest) -> AlertTestView:
    """How the receiver answered."""
    return {
        "delivered": tried.delivered,
        "status": tried.status,
        "error": tried.error,
        "duration_ms": tried.duration_ms,
        "answer": tried.answer,
    }


def _alarm_view(alarm: Alarm) -> AlarmView:
    return {
        "at": iso(alarm.at_ms),
        "kind": alarm.kind,
        "severity": severity_of(alarm.kind),
        "state": alarm.state,
        "message": alarm.message,
        "about": alarm.about or None,
        "job": alarm.job or None,
        "upstream_request_id": alarm.upstream_request_id or None,
    }
