"""Held jobs against fal's history: what fal has of ours is adopted; what it proves not to have may be sent again.

Only the payload tells (docs/decisions/0012): a job is searched for by the marker in the addresses of its images,
never by its time or its prompt. A listing that is not whole decides nothing.
"""

import time
from collections.abc import Iterable

import structlog

from app.crash import crash_point
from app.domain.errors import StoreUnavailable
from app.domain.jobs import Job, Status
from app.domain.marker import Marker, read_marker
from app.fal.errors import UnusableAnswer
from app.fal.history import HistoryRequest, RequestListing
from app.gateway import Gateway
from app.store.jobs import SUBMIT_LEASE_MS
from app.store.quarantine import Quarantined
from workers.periodic import PeriodicTask
from workers.quarantine import alarm_quarantined

START_WITHIN_S = 2.0  # so long another job is begun: it must end within a lane's slice
VISIBILITY_MS = 30_000  # longer than one listing and what follows from it may take
MINUTE_MS = 60_000
DAY_MS = 86_400_000
PAUSES_MS = ((600_000, 15_000), (DAY_MS, MINUTE_MS))  # until this age, so long between two looks
MAX_PAUSE_MS = 3_600_000
CLOCK_SKEW_MS = 300_000  # fal's clock and ours may differ by so much
MAX_RUN_MS = 3_600_000  # a span that is about ends must reach as far as the longest run

# What proves that fal never took it, beside the limit on its start.
HISTORY_LAG_MS = 600_000  # how late fal's history may be
MARGIN_MS = 300_000
EMPTY_LISTINGS = 3
LISTING_SPACING_MS = MINUTE_MS
MAX_COMPARED = 20  # other requests that are compared with our records, at most

log = structlog.get_logger()


def history_task(gateway: Gateway) -> PeriodicTask:
    """The looks at fal's history of one process."""
    remedy = "held jobs wait for a webhook or for you"
    return PeriodicTask(gateway, resolve_held, step="resolve", topic="history", remedy=remedy)


async def resolve_held(gateway: Gateway) -> UnusableAnswer | int:
    """Search for held jobs, one after the other: how many; UnusableAnswer, which ends it, without a whole listing.

    1. every held job has its time in this step, and keeps it until all that follows from it is done
    2. take one that is due; it is hidden from other lanes meanwhile
    3. look for it, and say when to look again, if at all
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
                log.exception("history.failed", job=ref)  # one poisonous job must not keep the others held
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
    """Search for one job in fal's history: ms until the next search, None when nothing is left to look for.

    1. a job whose images are not ours cannot be found: it waits for a webhook or a person
    2. list what fal had of its model since a little before the claim; half a listing decides nothing
    3. the earliest request with a marker of this job is adopted; others that carry one are orphans
    4. still held: where the setting says so, and the listings prove that fal never took it, back in line with it
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
        (request, marker) for request, marker in _with_markers(secret, listing.requests) if marker.job == job.id
    ]
    if of_job:
        crash_point("resolve.found")
        await _adopt_first(gateway, ref, of_job)
    elif gateway.settings.on_unknown_outcome == "resubmit" and await _is_absent(gateway, job, listing, now_ms):
        await _send_again(gateway, job)
    now = await gateway.stores.jobs.get(ref)
    return _pause_ms(now_ms - claimed_ms) if now is not None and now.status is Status.HELD else None


def claim_time_ms(job: Job) -> int | None:
    """When the last attempt was claimed, before its POST; None when there was none."""
    if job.claimed_ms is None and job.lease_ms is not None:
        return job.lease_ms - SUBMIT_LEASE_MS  # claimed by an older version
    return job.claimed_ms


def is_marked(job: Job) -> bool:
    """True when the payload that was sent carries the marker: an image in it was uploaded here."""
    return any(isinstance((job.input or {}).get(name), str) for name in job.images)


def _ended_by_ms(job: Job, claimed_ms: int) -> int:
    """By when fal would have ended the request, if it took it: later ones say nothing about it."""
    return claimed_ms + (job.start_timeout_ms or MAX_RUN_MS) + MAX_RUN_MS


def _with_markers(secret: str, requests: Iterable[HistoryRequest]) -> list[tuple[HistoryRequest, Marker]]:
    """The requests that carry a marker of this installation, in their order, each with its marker."""
    read = ((request, read_marker(secret, text)) for request in requests for text in request.markers)
    return [(request, marker) for request, marker in read if marker is not None]


async def _adopt_first(gateway: Gateway, ref: str, of_job: list[tuple[HistoryRequest, Marker]]) -> None:
    """Give the job the first of these requests, unless it has one; the others are orphans.

    The first is taken also when an older attempt made it, which had seemed to be refused: it is paid for. Each time
    the job is read again, because fal's webhook may have resolved it meanwhile.
    """
    for request, marker in of_job:
        job = await gateway.stores.jobs.get(ref)
        if job is None:
            return
        nonce = job.nonce if job.status is Status.HELD and job.nonce else marker.nonce
        await gateway.adoption.adopt(job, nonce, request.request_id)


async def _is_absent(gateway: Gateway, job: Job, listing: RequestListing, now_ms: int) -> bool:
    """True when fal certainly never took this attempt; `listing` is whole and does not show it.

    1. it can not start any more, and fal's history has caught up: only where fal was told a limit for the start
    2. the listing shows another request that we know, sent at about the same time: it is no empty answer
    3. that was so three times, a minute apart
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
    """True when a request sent near the claim is the one that our record of its job names."""
    near = [request for request in listing.requests if abs(request.sent_ms - claimed_ms) <= CLOCK_SKEW_MS]
    others = _with_markers(await gateway.stores.secrets.of_markers(), near)
    for request, marker in others[:MAX_COMPARED]:
        other = await gateway.stores.jobs.find(marker.job)
        if other is not None and other.upstream_request_id == request.request_id:
            return True
    return False


def _count_spaced(times_ms: Iterable[int]) -> int:
    """How many of these times lie at least a minute apart."""
    count, last_ms = 0, None
    for at_ms in sorted(times_ms):
        if last_ms is None or at_ms - last_ms >= LISTING_SPACING_MS:
            count, last_ms = count + 1, at_ms
    return count


async def _send_again(gateway: Gateway, job: Job) -> None:
    if await gateway.stores.jobs.requeue(job, nonce=job.nonce or "", wait_ms=0):
        log.warning("job.resubmitted", job=job.id, attempt=job.attempt)
        sentence = "fal's history proves that it never took this job's submission; the job is in line again."
        await gateway.stores.alarms.raise_alarm("resubmitted", sentence, job=job.id)


def _pause_ms(age_ms: int) -> int:
    """How long until the next look, by the time since the claim: fal may be late by minutes, people by days."""
    return next((pause_ms for until_ms, pause_ms in PAUSES_MS if age_ms < until_ms), MAX_PAUSE_MS)
