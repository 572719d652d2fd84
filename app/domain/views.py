"""A job as its caller sees it: in replies, events and webhooks alike."""

from datetime import UTC, datetime
from typing import Any

from app.domain.events import EndpointNotice, Event, Notice
from app.domain.jobs import Job, Status
from app.domain.limits import Limit, LimitState, Unit, shown
from app.domain.money import format_usd


def iso(milliseconds: int | None) -> str | None:
    """`2026-11-22T12:00:00.000Z`, or None."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown_input(job: Job) -> dict[str, Any] | None:
    """The input as given, with an uploaded image shown as what it is and not as its bytes."""
    if job.input is None:
        return None
    return {name: job.images.get(name, value) for name, value in job.input.items()}


def _error(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    error: dict[str, Any] = {
        "code": job.error.code,
        "message": job.error.message,
        "retryable": job.error.retryable,
    }
    if job.error.upstream is not None:
        error["upstream"] = job.error.upstream
    return error


def job_view(
    job: Job,
    *,
    base_url: str,
    queue_position: int | None = None,
    upstream_paused: str | None = None,
    repeated: bool = False,
    with_input: bool = True,
) -> dict[str, Any]:
    """The job. `base_url` has no trailing slash; money is a decimal string.

    `upstream_paused` is why nothing is bought for its team just now, shown while it waits in line.
    """
    url = f"{base_url}/v1/jobs/{job.id}"
    view: dict[str, Any] = {
        "id": job.id,
        "status": job.status.value,
        "model": job.model,
        "input": _shown_input(job),
        "output": job.output,
        "error": _error(job),
        "quoted_usd": format_usd(job.quoted_micro),
        "charged_usd": None if job.charged_micro is None else format_usd(job.charged_micro),
        "queue_position": queue_position,
        "upstream_paused": paused_view(upstream_paused if job.status is Status.QUEUED else None),
        "logs": job.logs,
        "metadata": job.metadata,
        "priority": job.priority.value,
        "user": job.user,
        "created_at": iso(job.created_ms),
        "submitted_at": iso(job.submitted_ms),
        "completed_at": iso(job.completed_ms),
        "deadline_at": iso(job.deadline_ms),
        "cancel_requested_at": iso(job.cancel_requested_ms),
        "held_reason": job.held_reason,
        "repeated": repeated,
        "expires_at": iso(job.expires_ms),
        "urls": {"self": url, "cancel": f"{url}/cancel", "events": f"{url}/events"},
    }
    if not with_input:
        del view["input"]
    return view


def attempt_view(job: Job, held_ms: int | None) -> dict[str, str | None]:
    """What finds a job's last submission at fal: when it was claimed, since when it is held, how its tag begins.

    The tag at fal goes on with a point and the marker's mac (`app/domain/marker.py`), which finds nothing more.
    """
    return {
        "claimed_at": iso(job.claimed_ms),
        "held_at": iso(held_ms),
        "fal_tag": None if job.nonce is None else f"filmgate={job.id}.{job.nonce}",
    }


def paused_view(reason: str | None) -> dict[str, str] | None:
    """Why nothing is bought just now, as callers see it."""
    return None if reason is None else {"reason": reason}


def event_view(
    event: Event, *, base_url: str, queue_position: int | None = None, upstream_paused: str | None = None
) -> dict[str, Any]:
    """`{type, timestamp, sequence, data}`: the body of a webhook and the data of a live event."""
    return {
        "type": event.type,
        "timestamp": iso(event.at_ms),
        "sequence": event.sequence,
        "data": job_view(
            event.job,
            base_url=base_url,
            queue_position=queue_position,
            upstream_paused=upstream_paused,
            with_input=False,
        ),
    }


def notice_view(notice: Notice) -> dict[str, Any]:
    """The same for what is about no job, and so has no sequence: an alert about a money limit, or an endpoint."""
    data: dict[str, Any]
    if isinstance(notice, EndpointNotice):
        data = {"endpoint": notice.endpoint, "url": notice.url, "reason": notice.reason}
    else:
        data = {
            "threshold": notice.threshold,
            "owner": notice.owner.value,
            "user": notice.user,
            "unit": Unit.USD.value,
            "window": notice.window.value,
            "amount": format_usd(notice.amount),
            "used": format_usd(notice.used),
            "held": format_usd(notice.held),
            "resets_at": iso(notice.resets_ms),
        }
    return {"type": notice.type, "timestamp": iso(notice.at_ms), "sequence": None, "data": data}


def amount_view(unit: Unit, amount: int) -> str | int:
    """Dollars as a decimal string, the rest as a whole number."""
    return shown(unit, amount) if unit is Unit.USD else amount


def limit_view(limit: Limit) -> dict[str, Any]:
    """A limit as it was set."""
    view: dict[str, Any] = {
        "unit": limit.unit.value,
        "window": limit.window.value,
        "amount": amount_view(limit.unit, limit.amount),
    }
    if limit.raised_to is not None:
        view["raised_to"] = amount_view(limit.unit, limit.raised_to)
        view["raised_until"] = iso(limit.raised_until_ms)
    return view


def limit_state_view(state: LimitState) -> dict[str, Any]:
    """A limit as it stands: whose, how much is in force, used, held and left, and when it begins anew."""
    return {
        "owner": state.owner.value,
        "unit": state.unit.value,
        "window": state.window.value,
        **{
            name: amount_view(state.unit, amount)
            for name, amount in (
                ("amount", state.amount),
                ("used", state.used),
                ("held", state.held),
                ("left", state.left),
            )
        },
        "resets_at": iso(state.resets_ms),
    }
