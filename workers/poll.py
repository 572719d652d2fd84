"""The step `poll`: one status call for each due running job."""

import time
from contextlib import suppress
from typing import Any

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.errors import StoreUnavailable
from app.domain.jobs import Job, Status
from app.domain.poll_plan import MAX_INTERVAL_MS, interval_ms
from app.fal.protocol import StatusReport
from app.gateway import Gateway
from app.metrics.table import DETECTION_LAG, GENERATION
from app.store.jobs import NOW
from workers.poll_plans import PollPlans

MISSING_GRACE_MS = 120_000  # fal may not find a request for a moment after its submit
MAX_MISSING_POLLS = 10  # in a row: a single 404 must not end a job
CANCEL_RETRY_MS = 30_000
MISSING_STATUS = "MISSING_STATUS"  # upstream_status of a job that fal has lost

MAX_WORDS_LOGGED = 100

log = structlog.get_logger()
_logged: set[str] = set()


async def poll(gateway: Gateway, job: Job, now_ms: int, plans: PollPlans) -> int | None:
    """Poll one running job; milliseconds until its next poll, or None.

    1. after a cancel request or its deadline: cancel at fal, again every 30 s
    2. get the status
    3. completed, or missing at fal for too long: finalizing, which reads the result
    4. otherwise store the changes, and poll again when an end is likely
    """
    if job.status is not Status.RUNNING or job.upstream_request_id is None:
        return None
    began = time.monotonic()
    await _cancel_if_due(gateway, job, now_ms)
    progress = await gateway.fal.status(job.model, job.upstream_request_id)
    _log_unknown_status(progress.unknown_status, job)
    if tracing.is_on():
        plans.polls.count(job)
    if progress.status == "COMPLETED" or _is_missing(job, progress, now_ms):
        crash_point("poll.completed")
        word = progress.status if progress.status == "COMPLETED" else MISSING_STATUS
        await gateway.stores.jobs.complete_upstream(job, upstream_status=word, logs=progress.logs)
        if tracing.is_on():
            await _record_generation(gateway, job, plans.polls.take(job), outcome=word)
        if word == "COMPLETED" and not _is_cancel_due(job, now_ms):
            ended_ms = now_ms + round((time.monotonic() - began) * 1000)
            plans.add_end(job, _age_ms(job, ended_ms))
            GENERATION.observe(_age_ms(job, ended_ms) / 1000, job.model)
            DETECTION_LAG.observe((ended_ms - (job.polled_ms or job.submitted_ms or ended_ms)) / 1000)
        return None
    changed = _changes(job, progress)
    if changed:
        await gateway.stores.jobs.update(job, (Status.RUNNING,), **changed)
    return _wait_ms(gateway, job, progress, now_ms, plans)


async def _record_generation(gateway: Gateway, job: Job, polls: int, *, outcome: str) -> None:
    """The span of the generation, with the number of polls that this process made; a poll reads no trace id."""
    with suppress(StoreUnavailable):
        whole = await gateway.stores.jobs.get(job.ref)
        if whole is not None and whole.submitted_ms is not None:
            began_ns = whole.submitted_ms * tracing.MS_NS
            ended_ns = (whole.upstream_done_ms or whole.submitted_ms) * tracing.MS_NS
            error = None if outcome == "COMPLETED" else outcome
            tracing.record_step(
                whole,
                "generate",
                began_ns=began_ns,
                ended_ns=ended_ns,
                error=error,
                attributes={"filmgate.polls": polls},
            )


def _wait_ms(gateway: Gateway, job: Job, progress: StatusReport, now_ms: int, plans: PollPlans) -> int:
    """By the plan, and not beyond the deadline, at which the job is cancelled.

    At growing intervals without a plan, after an answer that says nothing, and when the job is to be cancelled.
    """
    age_ms, planned = _age_ms(job, now_ms), None
    if progress.status in {"IN_QUEUE", "IN_PROGRESS"} and not _is_cancel_due(job, now_ms):
        planned = plans.wait_ms(job, age_ms)
    if planned is None:
        planned = interval_ms(gateway.settings.poll_interval, age_ms // MAX_INTERVAL_MS)
    return min(planned, job.deadline_ms - now_ms) if now_ms < job.deadline_ms else planned


def _age_ms(job: Job, now_ms: int) -> int:
    return max(0, now_ms - (job.submitted_ms or now_ms))


def _log_unknown_status(word: str, job: Job) -> None:
    """Log a status that this version does not know, once in each process."""
    if word and word not in _logged and len(_logged) < MAX_WORDS_LOGGED:
        _logged.add(word)
        log.error("upstream.unknown_status", **job.names, word=word, taken_for="IN_PROGRESS")


def _is_cancel_due(job: Job, now_ms: int) -> bool:
    return job.cancel_requested_ms is not None or now_ms >= job.deadline_ms


async def _cancel_if_due(gateway: Gateway, job: Job, now_ms: int) -> None:
    wanted = _is_cancel_due(job, now_ms)
    sent_lately = job.cancel_sent_ms is not None and now_ms - job.cancel_sent_ms < CANCEL_RETRY_MS
    if wanted and not sent_lately and await gateway.fal.cancel(job.model, job.upstream_request_id or ""):
        crash_point("cancel.sent")
        await gateway.stores.jobs.update(job, (Status.RUNNING,), cancel_sent_ms=NOW)
        log.info("job.cancel_sent", **job.names)


def _is_missing(job: Job, progress: StatusReport, now_ms: int) -> bool:
    late = now_ms - (job.submitted_ms or now_ms) > MISSING_GRACE_MS
    return progress.status == "missing" and late and job.misses >= MAX_MISSING_POLLS


def _changes(job: Job, progress: StatusReport) -> dict[str, Any]:
    """The fields to store: fal's status, new log lines, polls in a row without the job; usually none."""
    if progress.status == "missing":
        return {"misses": job.misses + 1}
    if progress.status == "unclear":
        return {}
    changed: dict[str, Any] = {"misses": 0} if job.misses else {}
    if progress.status != job.upstream_status:
        changed["upstream_status"] = progress.status
    if progress.logs and progress.logs != job.logs:
        changed["logs"] = progress.logs
    return changed
