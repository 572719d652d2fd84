"""The step `submit`: one POST for each claim, and never a second one after an unknown outcome."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from app import tracing
from app.crash import crash_point
from app.domain.buying import SubmitOutcome, breaker_sentence
from app.domain.errors import StoreUnavailable
from app.domain.ids import new_nonce
from app.domain.jobs import Charge, Job, JobError, Status
from app.domain.marker import Marker, make_marker
from app.domain.traces import new_span
from app.fal.client import SUBMIT_SECONDS
from app.fal.protocol import SubmitAccepted, SubmitRefused, SubmitReply, SubmitUnknown
from app.gateway import Gateway
from app.metrics.table import PURCHASED, QUEUE_WAIT, SUBMISSION
from app.store.jobs import SUBMIT_LEASE_MS
from app.telemetry import note
from workers.runtime import Runtime

START_POST_WITHIN_S = SUBMIT_LEASE_MS / 1000 - SUBMIT_SECONDS  # after the claim: the POST ends within its lease
POSTS_AT_ONCE = 4  # at most so many outcomes are unknown when a worker is killed
BUSY_CODE = "upstream_busy"
NOT_SENT = "not_sent"
DEFAULT_START_TIMEOUT_S = 1800.0  # without a limit fal may start a request at any time: its absence proves nothing
FIRST_RETRY_MS = 1_000
MAX_RETRY_MS = 60_000
CLAIM_WITHIN_S = 5.0  # after this a claim is refused: its worker has stopped waiting for the reply
SAVE_WITHIN_S = 16.0
GIVE_BACK_WITHIN_S = 48.0  # such a job may be held meanwhile: it is given back then too
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0  # a longer one would keep this worker from buying when the store is back

log = structlog.get_logger()


async def submit_all(runtime: Runtime, refs: list[str]) -> None:
    """Submit the jobs of one task, a few at a time."""
    await runtime.run_each(submit, refs, at_once=POSTS_AT_ONCE)


async def submit(gateway: Gateway, ref: str) -> None:
    """Process one due submission.

    1. submitting with an expired lease: its worker is gone and the outcome is unknown: hold
    2. queued, with a cancel request: end it free of charge
    3. queued: claim, which writes nonce and fence before the call; without a reply, undo it
    4. unless the store has gone back in time: one POST
    5. adopt after a valid reply; after a definite refusal requeue or fail; otherwise hold

    Failures before the claim are counted, so that a job that cannot be submitted does not keep its slot.
    """
    async with gateway.stores.quarantine.counting_failures("submit", ref):
        await _submit(gateway, ref)


async def _submit(gateway: Gateway, ref: str) -> None:
    job = await gateway.stores.jobs.get(ref)
    if job is not None:
        note(**job.names)
    if job is None:
        await gateway.stores.due.drop("submit", [ref])
    elif job.status is Status.SUBMITTING:
        await _hold_if_lost(gateway, job)
    elif job.status is Status.QUEUED and job.cancel_requested_ms is not None:
        await gateway.stores.jobs.cancel_queued(job)
    elif job.status is Status.QUEUED:
        await _buy(gateway, job)
    else:
        await gateway.stores.due.drop("submit", [ref])


async def _hold_if_lost(gateway: Gateway, job: Job) -> None:
    if job.nonce is None or job.lease_ms is None or await gateway.stores.clock.now_ms() < job.lease_ms:
        return
    if await gateway.stores.jobs.hold(job, nonce=job.nonce, reason="worker_lost"):
        log.warning("job.held", **job.names, reason="worker_lost")


async def _buy(gateway: Gateway, job: Job) -> None:
    now_ms = await gateway.stores.clock.now_ms()
    if now_ms >= min(job.deadline_ms, job.start_deadline_ms or job.deadline_ms):
        return  # too late to buy it: the lane ends it free of charge
    start_timeout = None
    if job.start_deadline_ms is not None:
        start_timeout = max(1.1, (job.start_deadline_ms - now_ms) / 1000)
    elif gateway.settings.on_unknown_outcome == "resubmit":
        start_timeout = DEFAULT_START_TIMEOUT_S
    crash_point("submit.before_claim")
    latest_s = time.monotonic() + START_POST_WITHIN_S
    nonce = await _claim(gateway, job, now_ms, start_timeout_ms=round((start_timeout or 0) * 1000))
    if nonce is None:
        return  # another worker was faster, the caller cancelled, or buying has stopped
    if job.attempt == 0:
        QUEUE_WAIT.observe((now_ms - job.created_ms) / 1000)
    crash_point("submit.after_claim")
    if not await _is_epoch_confirmed(gateway):
        await _give_back(gateway, job, nonce)
        return
    marker = make_marker(await gateway.stores.secrets.of_markers(), job.id, nonce)
    if time.monotonic() > latest_s:  # this process was suspended, and another may have taken over
        await _give_back(gateway, job, nonce)
        return
    began_ns, span = time.time_ns(), new_span()
    outcome = await gateway.fal.submit(
        job.model,
        marked_input(job, marker),
        start_timeout=start_timeout,
        marker=str(marker),
        webhook_url=_webhook_url(gateway, marker),
        traceparent=job.traceparent(span),
    )
    crash_point("submit.answered")
    _log_call(job, outcome, began_ns=began_ns, span=span)
    await _record(gateway, job, nonce, outcome)
    SUBMISSION.observe(time.monotonic() + START_POST_WITHIN_S - latest_s)


async def _claim(gateway: Gateway, job: Job, now_ms: int, *, start_timeout_ms: int) -> str | None:
    """Claim a job that was read at `now_ms`: the nonce, or None.

    A store that fell silent may have the claim, or run it when it answers again. Nothing was sent, and only this
    process knows: it puts the job back in line, at once or when the claim would be refused.
    """
    nonce = new_nonce()
    until_ms = now_ms + round(CLAIM_WITHIN_S * 1000)
    try:
        return await gateway.stores.jobs.claim(
            job, nonce=nonce, start_timeout_ms=start_timeout_ms, until_ms=until_ms
        )
    except StoreUnavailable:
        refused_s = time.monotonic() + CLAIM_WITHIN_S
        if not await _give_back(gateway, job, nonce):
            await asyncio.sleep(max(0.0, refused_s - time.monotonic()))
            await _give_back(gateway, job, nonce)
        return None


async def _give_back(gateway: Gateway, job: Job, nonce: str) -> bool:
    """Put a claimed job of which nothing was sent back in line; True when it was claimed by this attempt."""
    requeue = partial(gateway.stores.jobs.requeue, job, nonce=nonce, wait_ms=0, reason=NOT_SENT)
    return await _persist(requeue, seconds=GIVE_BACK_WITHIN_S)


def _log_call(job: Job, outcome: SubmitReply, *, began_ns: int, span: str) -> None:
    """The line and the span of a call, with fal's id of the request: it is in the log before it is in the store."""
    word = type(outcome).__name__.removeprefix("Submit").lower()
    request = outcome.request_id if isinstance(outcome, SubmitAccepted) else None
    if request is not None:
        note(upstream_request_id=request)
    names = job.names if request is None else {**job.names, "upstream_request_id": request}
    ms = round((time.time_ns() - began_ns) / 1_000_000, 1)
    log.info("job.submitted", **names, attempt=job.attempt + 1, outcome=word, ms=ms)
    tracing.record_step(
        job,
        "submit",
        began_ns=began_ns,
        span=span,
        kind="CLIENT",
        error=None if request is not None else word,
        attributes={"filmgate.attempt": job.attempt + 1, "filmgate.upstream_request_id": request},
    )


async def _is_epoch_confirmed(gateway: Gateway) -> bool:
    """True when the store has every claim that this host has made, and the witness has this one."""
    try:
        return await gateway.epoch.confirm()
    except StoreUnavailable:
        return False


def marked_input(job: Job, marker: Marker) -> dict[str, Any]:
    """The input with the marker in the query of each image that was uploaded here: fal's history shows it.

    The query does not change the file. Other addresses stay unchanged.
    """
    marked = dict(job.input or {})
    for name in job.images:
        if isinstance(marked.get(name), str):
            joint = "&" if "?" in marked[name] else "?"
            marked[name] += f"{joint}filmgate={marker}"
    return marked


def _webhook_url(gateway: Gateway, marker: Marker) -> str | None:
    """The URL of fal's webhook for this attempt; None when fal cannot reach us."""
    if not gateway.settings.receives_fal_webhooks:
        return None
    return f"{gateway.settings.base_url}/fal/hooks/{marker.job}/{marker.nonce}/{marker.mac}"


async def _record(gateway: Gateway, job: Job, nonce: str, outcome: SubmitReply) -> None:
    store = gateway.stores.jobs
    match outcome:
        case SubmitAccepted(request_id, odd_urls):
            await _adopt(gateway, job, nonce, request_id)
            if odd_urls:
                await _alarm_odd_urls(gateway, job, request_id)
            crash_point("submit.adopted")
            await _report(gateway, "accepted", "")
        case SubmitRefused(retryable=True, account_fault=account_fault, code=code, message=message):
            wait_ms = 0 if account_fault else retry_wait_ms(job.attempt)
            kind: SubmitOutcome = "account" if account_fault else "busy" if code == BUSY_CODE else "failed"
            if kind != "busy":  # before its slot is free, because that would buy the next job
                await _report(gateway, kind, message)
            await _persist(partial(store.requeue, job, nonce=nonce, wait_ms=wait_ms, reason=code))
            if kind == "busy":  # after it: the report counts the jobs at fal
                await _report(gateway, kind, message)
            log.warning("job.refused", **job.names, code=code, status=outcome.status, cause=outcome.cause or None)
        case SubmitRefused(code=code, message=message, status=status):
            error = JobError(code, message, upstream={"status": status})
            start = (Status.SUBMITTING,)
            end = partial(store.end, job, start, Status.FAILED, charge=Charge.RELEASE, nonce=nonce, error=error)
            await _persist(end)
            await _report(gateway, "rejected", "")
        case SubmitUnknown(reason):
            await store.hold(job, nonce=nonce, reason=reason)
            await _report(gateway, "unknown", "fal's answers to submissions are unclear; buying waits a moment.")
            log.warning("job.held", **job.names, reason=reason)


async def _alarm_odd_urls(gateway: Gateway, job: Job, request_id: str) -> None:
    """Alarm for URLs that fal does not send: something may sit between fal and us. They are not called."""
    log.error("upstream.odd_urls", **{**job.names, "upstream_request_id": request_id})
    with suppress(StoreUnavailable):
        sentence = "fal's reply to a submission names URLs on another host; they were not called."
        await gateway.stores.alarms.raise_alarm("odd_urls", sentence, job=job.id, upstream_request_id=request_id)


async def _report(gateway: Gateway, outcome: SubmitOutcome, reason: str) -> None:
    """Report to the breaker; its alarm is active while it is open, because nothing is bought then."""
    PURCHASED.add(outcome)
    try:
        changed = await gateway.stores.buying.report(outcome, reason)
    except StoreUnavailable:
        return  # the job's outcome is stored, or the log has it
    if changed == "opened":
        sentence = breaker_sentence(reason, waits_for_person=outcome == "account")
        log.error("breaker.opened", reason=reason, sentence=sentence)
        with suppress(StoreUnavailable):
            await gateway.stores.alarms.raise_alarm("breaker_opened", sentence)
    elif changed == "closed":
        log.info("breaker.closed")
        with suppress(StoreUnavailable):
            await gateway.stores.alarms.resolve_alarm("breaker_opened", "fal accepts submissions again.")


async def _persist(write: Callable[[], Awaitable[bool]], *, seconds: float = SAVE_WITHIN_S) -> bool:
    """Store what only this process knows, such as fal's reply; retry for so long while the store is away."""
    end, pause_s = time.monotonic() + seconds, FIRST_PAUSE_S
    while time.monotonic() < end:
        try:
            return await write()
        except StoreUnavailable:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return await write()


async def _adopt(gateway: Gateway, job: Job, nonce: str, request_id: str) -> None:
    """Store the bought request.

    1. adopt; while the store is away, log fal's id; raise an alarm for an id that another job has
    2. if the job was resolved meanwhile, the request is an orphan: cancel it at fal
    """
    poll_ms = round(gateway.settings.poll_interval * 1000)
    adopt = partial(gateway.stores.jobs.adopt, job, nonce=nonce, upstream_request_id=request_id, poll_ms=poll_ms)
    try:
        if await _persist(adopt):
            with suppress(StoreUnavailable):  # the request is stored
                await gateway.adoption.alarm_if_shared(job, request_id)
            return
    except StoreUnavailable:
        names = {**job.names, "upstream_request_id": request_id}
        log.error("job.unsaved", **names, remedy="adopt it by hand")  # noqa: TRY400  no traceback needed
        return
    now = await gateway.stores.jobs.get(job.ref)
    if now is None or now.upstream_request_id != request_id:
        await gateway.adoption.orphan(job, request_id)


def retry_wait_ms(attempt: int) -> int:
    """Milliseconds before a refused job is in line again: doubling from 1 s to 1 minute."""
    return int(min(MAX_RETRY_MS, FIRST_RETRY_MS * 2.0 ** min(attempt, 10)))
