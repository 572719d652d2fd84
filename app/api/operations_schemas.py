"""What administrators send and see while it runs."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from app.api.admin_schemas import LONGEST_ID, Body, Id, Reason
from app.domain.ids import split_ref
from app.domain.jobs import Job
from app.domain.money import format_usd
from app.domain.views import attempt_view, iso
from app.services.operations import ALL, EPOCH, Alarm, Overview

MEMBERS = {"adopt": {"upstream_request_id"}, "resubmit": set[str](), "fail": {"charged"}}


class PauseBody(Body):
    """What `POST /v1/admin/pause` takes; without a team, nothing is bought for anybody."""

    team: Id | None = None
    reason: Reason


class ResumeBody(Body):
    """What `POST /v1/admin/resume` takes; without a team, the breaker closes too."""

    team: Id | None = None
    reason: Reason | None = None


class ResolveBody(Body):
    """What `POST /v1/admin/jobs/{job_id}/resolve` takes: one of three forms, with exactly its members."""

    action: Literal["adopt", "resubmit", "fail"]
    upstream_request_id: (
        Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[A-Za-z0-9_-]+$")] | None
    ) = Field(None, description="fal's request id, for adopt")
    charged: bool | None = Field(None, description="Did fal charge it? For fail")

    @model_validator(mode="after")
    def _one_form(self) -> "ResolveBody":
        if self.model_fields_set - {"action"} != MEMBERS[self.action]:
            raise ValueError("Give adopt with upstream_request_id, fail with charged, or resubmit alone")
        return self


def operated_job_view(job: Job, held_ms: int | None = None) -> dict[str, Any]:
    """A job as administrators see it: whose it is and how it stands at fal; never what it shows.

    `held_ms` is since when it is held.
    """
    return {
        "id": job.id,
        "team": job.team,
        "user": job.user,
        "status": job.status.value,
        "model": job.model,
        "attempt": job.attempt,
        "held_reason": job.held_reason,
        **attempt_view(job, held_ms),
        "upstream_request_id": job.upstream_request_id,
        "upstream_status": job.upstream_status,
        "error_code": None if job.error is None else job.error.code,
        "money": job.money.value,
        "quoted_usd": format_usd(job.quoted_micro),
        "charged_usd": None if job.charged_micro is None else format_usd(job.charged_micro),
        "priority": job.priority.value,
        "created_at": iso(job.created_ms),
        "submitted_at": iso(job.submitted_ms),
        "completed_at": iso(job.completed_ms),
        "deadline_at": iso(job.deadline_ms),
        "cancel_requested_at": iso(job.cancel_requested_ms),
    }


def overview_view(seen: Overview) -> dict[str, Any]:
    """How everything stands. `upstream_paused` is the sentence of everybody's callers, or null."""
    buying, oldest = seen.buying, seen.oldest_held
    return {
        "upstream_paused": buying.reason_for(""),
        "slots": {
            "used": buying.used,
            "allowed": buying.slots,
            "configured": buying.configured,
            **({"hosts": buying.hosts} if len(set(buying.hosts.values())) > 1 else {}),  # where they differ
        },
        "breaker": {
            "open": buying.breaker is not None,
            "half_open": buying.trying,
            "reason": buying.breaker,
            "until": iso(buying.until_ms),
            "failures": buying.failures,
            "last_failure": buying.last_failure,
        },
        "pauses": [
            {"team": None if who in {ALL, EPOCH} else who, "name": seen.names.get(who), "reason": reason}
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
            for team, share in seen.shares
        ],
        "workers": seen.workers,
        "held": {
            "count": seen.held,
            "oldest_at": None if oldest is None else iso(oldest[1]),
            "oldest_job": None if oldest is None else split_ref(oldest[0])[1],
        },
        "aside": {"count": seen.aside, "oldest_at": iso(seen.oldest_aside_ms)},
        "alarms": [alarm_view(alarm) for alarm in seen.alarms],
    }


def alarm_view(alarm: Alarm) -> dict[str, Any]:
    """An alarm; what it is not about is null."""
    return {
        "at": iso(alarm.at_ms),
        "kind": alarm.kind,
        "message": alarm.message,
        "job": alarm.job or None,
        "upstream_request_id": alarm.upstream_request_id or None,
    }
