"""Resolves held jobs by fal's history: adopts their requests; requeues jobs that provably have none.

Only the payload identifies a job (docs/decisions/0012): the marker in the addresses of its images, not its time or
prompt. An incomplete listing decides nothing.
"""

import time
from collections.abc import Iterable

import structlog

from app.crash import crash_point
from app.domain.errors import StoreUnavailable
from app.domain.ids import ref_names
from app.domain.jobs import Job, Status
from app.domain.marker import Marker, read_marker
from app.fal.errors import UnusableAnswer
from app.fal.history import HistoryRequest, RequestListing
from app.gateway import Gateway
from app.store.jobs import SUBMIT_LEASE_MS
from app.store.quarantine import Quarantined
from workers.periodic import PeriodicTask
from workers.quarantine import alarm_quarantined

START_WITHIN_S = 2.0  # for the last job of a run, which must end within a lane's slice
VISIBILITY_MS = 30_000  # longer than one listing and the changes after it
MINUTE_MS = 60_000
DAY_MS = 86_400_000
PAUSES_MS = ((600_000, 15_000), (DAY_MS, MINUTE_MS))  # (age of the claim, pause between two searches)
MAX_PAUSE_MS = 3_600_000
CLOCK_SKEW_MS = 300_000  # the greatest difference between fal's clock and ours
MAX_RUN_MS = 3_600_000  # the longest time from start to end

# The proof that fal never accepted a request, in addition to the limit on its start.
HISTORY_LAG_MS = 600_000  # the greatest lag of fal's history
MARGIN_MS = 300_000
EMPTY_LISTINGS = 3
LISTING_SPACING_MS = MINUTE_MS
MAX_COMPARED = 20  # other requests of the listing that are compared with our records

log = structlog.get_logger()


def history_task(gateway: Gateway) -> PeriodicTask:
    """The periodic search of fal's history in one process."""
    remedy = "held jobs wait for a webhook or for you"
    return PeriodicTask(gateway, resolve_held, step="resolve", topic="history", remedy=remedy)


async def resolve_held(gateway: Gateway) -> UnusableAnswer | int:
    """Search for due held jobs, one after the other: their number, or UnusableAnswer after an incomplete listing.

    1. add every held job to the due times of this step
    2. take one that is due; other lanes do not see it meanwhile
    3. search for it, and reschedule or drop it
    """
    quarantined = {ref for step, ref, _ in await gateway.stores.quarantine.steps() if step == "resolve"}
    await gateway.stores.due.add(
        "resolve", [ref for ref in await gateway.stores.jobs.held() if ref not in quarantined]
    )
    began, searched = time.monotonic(), 0
    while time.monotonic() - began < START_WITHIN_S:
        now_ms, refs = await gateway.stores.due.take("resolve", limit=1, visibility_ms=VISIBILITY_MS)
        for ref in refs:
            try:
                async with gateway.stores.quarantine.counting_failures("resolve", ref):
                    answer = await resolve(gateway, ref, now_ms)
            except StoreUnavailable:
                raise
            except Quarantined as error:
                await alarm_quarantined(gateway, error)
                continue
            except Exception:
                log.exception("history.failed", **ref_names(ref))  # a failing job must not delay the others
                continue
            if isinstance(answer, UnusableAnswer):
                return answer
            searched += 1
            if answer is None:
                await gateway.stores.due.drop("resolve", [ref])
            else:
                await gateway.stores.due.reschedule("resolve", {ref: now_ms + answer})
        if not refs:
            break
    return searched


async def resolve(gateway: Gateway, ref: str, now_ms: int) -> UnusableAnswer | int | None:
    """Search for one job in fal's history: milliseconds until the next search, or None if there is none.

    1. a job without images of ours cannot be found: it waits for a webhook or an operator
    2. list the requests for its model since a little before the claim; an incomplete listing decides nothing
    3. adopt the earliest request with a marker of this job; others with one are orphans
    4. still held, and the setting allows it: put it back in line when the listings prove that fal has no request
    """
    job = await gateway.stores.jobs.get(ref)
    claimed_ms = None if job is None else claim_time_ms(job)
    if job is None or claimed_ms is None:
        return None
    if not is_marked(job):
        return MAX_PAUSE_MS if job.status is Status.HELD else None
    listing = await gateway.fal.history(
        job.model,
        start_ms=claimed_ms - CLOCK_SKEW_MS,
        end_ms=min(now_ms, _ended_by_ms(job, claimed_ms)) + CLOCK_SKEW_MS,
    )
    if isinstance(listing, UnusableAnswer):
        return listing
    secret = await gateway.stores.secrets.of_markers()
    of_job = [
        (request, marker) for request, marker in with_markers(secret, listing.requests) if marker.job == job.id
    ]
    if of_job:
        crash_point("resolve.found")
        await _adopt_first(gateway, ref, of_job)
    elif gateway.settings.on_unknown_outcome == "resubmit" and await _is_absent(gateway, job, listing, now_ms):
        await _send_again(gateway, job)
    now = await gateway.stores.jobs.get(ref)
    return _pause_ms(now_ms - claimed_ms) if now is not None and now.status is Status.HELD else None


def claim_time_ms(job: Job) -> int | None:
    """When the last attempt was claimed, before its POST; None without one."""
    if job.claimed_ms is None and job.lease_ms is not None:
        return job.lease_ms - SUBMIT_LEASE_MS  # claimed by an older version
    return job.claimed_ms


def is_marked(job: Job) -> bool:
    """True when the sent payload has the marker: one of its images was uploaded here."""
    return any(isinstance((job.input or {}).get(name), str) for name in job.images)


def _ended_by_ms(job: Job, claimed_ms: int) -> int:
    """By when fal would have ended the request."""
    return claimed_ms + (job.start_timeout_ms or MAX_RUN_MS) + MAX_RUN_MS


def with_markers(secret: str, requests: Iterable[HistoryRequest]) -> list[tuple[HistoryRequest, Marker]]:
    """The requests with a marker of this installation, in their order, each with its marker."""
    read = ((request, read_marker(secret, text)) for request in requests for text in request.markers)
    return [(request, marker) for request, marker in read if marker is not None]


async def _adopt_first(gateway: Gateway, ref: str, of_job: list[tuple[HistoryRequest, Marker]]) -> None:
    """Adopt the first of these requests, unless the job has one; the others are orphans.

    An older attempt that had seemed refused may have made the first: it is adopted too, because it is paid for. The
    job is read each time, because fal's webhook may have resolved it meanwhile.
    """
    for request, marker in of_job:
        job = await gateway.stores.jobs.get(ref)
        if job is None:
            return
        nonce = job.nonce if job.status is Status.HELD and job.nonce else marker.nonce
        await gateway.adoption.adopt(job, nonce, request.request_id)


async def _is_absent(gateway: Gateway, job: Job, listing: RequestListing, now_ms: int) -> bool:
    """True when fal certainly never accepted this attempt; `listing` is complete and does not show it.

    1. it cannot start any more (only with a start limit), and fal's history has caught up
    2. the listing shows a known request of about the same time, so fal's history works
    3. this was so three times, a minute apart
    """
    claimed_ms = claim_time_ms(job)
    if job.status is not Status.HELD or not job.start_timeout_ms or claimed_ms is None:
        return False
    if now_ms < claimed_ms + job.start_timeout_ms + HISTORY_LAG_MS + MARGIN_MS:
        return False
    if not await _shows_another(gateway, listing, claimed_ms):
        return False
    return _count_spaced(await gateway.stores.jobs.record_absence(job, now_ms)) >= EMPTY_LISTINGS


async def _shows_another(gateway: Gateway, listing: RequestListing, claimed_ms: int) -> bool:
    """True when a request from about the time of the claim matches our record of its job."""
    near = [request for request in listing.requests if abs(request.sent_ms - claimed_ms) <= CLOCK_SKEW_MS]
    others = with_markers(await gateway.stores.secrets.of_markers(), near)
    for request, marker in others[:MAX_COMPARED]:
        other = await gateway.stores.jobs.find(marker.job)
        if other is not None and other.upstream_request_id == request.request_id:
            return True
    return False


def _count_spaced(times_ms: Iterable[int]) -> int:
    """The number of these times that are at least a minute apart."""
    count, last_ms = 0, None
    for at_ms in sorted(times_ms):
        if last_ms is None or at_ms - last_ms >= LISTING_SPACING_MS:
            count, last_ms = count + 1, at_ms
    return count


async def _send_again(gateway: Gateway, job: Job) -> None:
    if await gateway.stores.jobs.requeue(job, nonce=job.nonce or "", wait_ms=0, reason="not_at_fal"):
        log.warning("job.resubmitted", **job.names, attempt=job.attempt)
        sentence = "fal's history proves that it never took this job's submission; the job is in line again."
        await gateway.stores.alarms.raise_alarm("resubmitted", sentence, job=job.id)


def _pause_ms(age_ms: int) -> int:
    """The pause before the next search, by the time since the claim."""
    return next((pause_ms for until_ms, pause_ms in PAUSES_MS if age_ms < until_ms), MAX_PAUSE_MS)
