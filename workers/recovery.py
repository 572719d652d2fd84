"""Recovery after the store went back in time: finds bought requests in fal's history and adopts them.

A missing request proves nothing here: fal shows a request only after its start, and only payloads with an image of
ours have the marker. So buying resumes by itself only when no job is left in line that may have been bought.
"""

from collections.abc import Sequence

import structlog

from app.domain.counting import counted
from app.domain.jobs import Status
from app.domain.marker import Marker
from app.fal.errors import UnusableAnswer
from app.fal.history import HistoryRequest
from app.gateway import Gateway
from app.store.epoch import Epoch
from workers.reconcile import with_markers

MARGIN_MS = 900_000
UNKNOWN_JOB = "fal has a request of a job that the store does not know: it was bought before the store went back."
UNMARKED = (
    "fal has {count} since then without our marker, which no job here has: of a job that was lost or is in line, "
    "whose picture is no upload of ours, or of another program with this key. fal's dashboard has their tags "
    "(`filmgate=JOB`). The first: {first}."
)
SHOWN = 5  # requests in a sentence
CLOCKS_MS = 10_000  # between fal's clock and the store's
UNKNOWN_ATTEMPT = "fal has a request of an attempt that the store does not know, for a job that is not in line."

log = structlog.get_logger()


async def recover_epoch(gateway: Gateway) -> bool:
    """One attempt while buying is stopped; True when buying has resumed.

    1. list fal's requests for all models since a little before the store was last complete; an incomplete listing
       decides nothing
    2. adopt requests with our marker for jobs in line; raise an alarm for those of unknown jobs
    3. resume when no job from before the stop is left in line; otherwise an operator must decide
    4. raise one alarm for all requests without a marker that no job has: lost ones too, for all that is known
    """
    stop = await gateway.epoch.stop()
    if stop is None:
        return True
    history = await _history(gateway, stop)
    if history is None:
        return False
    requests, unmarked = history
    adopted = unknown = 0
    for marker, request_id in requests:
        job = await gateway.stores.jobs.find(marker.job)
        if job is None:
            unknown += 1
            await gateway.stores.alarms.raise_once(
                "epoch_unknown", UNKNOWN_JOB, job=marker.job, upstream_request_id=request_id
            )
        elif job.upstream_request_id == request_id:
            continue
        elif job.status is Status.QUEUED or job.nonce == marker.nonce:
            adopted += await gateway.adoption.adopt(job, marker.nonce, request_id)
        else:  # not cancelled: it may be the one that counts
            await gateway.stores.alarms.raise_once(
                "epoch_other", UNKNOWN_ATTEMPT, job=job.id, upstream_request_id=request_id
            )
    undecided = await _undecided(gateway, stop)
    summary = f"fal's history has {len(requests)} requests with our marker since then: {adopted} jobs were given "
    summary += f"theirs, {unknown} belong to jobs that the store does not know"
    if not undecided:
        missed = await _alarm_unmarked(gateway, unmarked)
        more = f"; {missed} without a marker have no job here" if missed else ""
        return await gateway.epoch.leave(stop, f"Buying goes on; {summary}{more}.")
    sentence = f"{len(undecided)} jobs in line may have been bought before ({summary}); an operator must decide."
    log.warning("epoch.undecided", undecided=undecided[:10], count=len(undecided), remedy="`filmgate epoch accept`")
    if await gateway.stores.alarms.raise_once("epoch_undecided", sentence):  # every record is read: not each time
        await _alarm_unmarked(gateway, unmarked)
    return False


async def _alarm_unmarked(gateway: Gateway, unmarked: Sequence[str]) -> int:
    """Raise an alarm for those of these requests that no job has, once; how many these are."""
    known = await gateway.stores.jobs.find_by_requests(unmarked) if unmarked else {}
    missed = [request_id for request_id in unmarked if request_id not in known]
    if missed:
        sentence = UNMARKED.format(count=counted(len(missed), "request"), first=", ".join(missed[:SHOWN]))
        await gateway.stores.alarms.raise_once("epoch_unknown", sentence, upstream_request_id=missed[0])
    return len(missed)


async def _history(gateway: Gateway, stop: Epoch) -> tuple[list[tuple[Marker, str]], list[str]] | None:
    """Requests of all models at fal with our marker, and those without one that were sent since then.

    The latter are the oldest first. None after an incomplete listing.
    """
    now_ms = await gateway.stores.clock.now_ms()
    start_ms = (stop.good_ms or now_ms) - MARGIN_MS
    secret = await gateway.stores.secrets.of_markers()
    found: list[tuple[Marker, str]] = []
    without: list[HistoryRequest] = []
    for model in gateway.catalog:
        listing = await gateway.fal.history(model.id, start_ms=start_ms, end_ms=now_ms + MARGIN_MS)
        if isinstance(listing, UnusableAnswer):
            log.warning("epoch.no_history", model=model.id, reason=listing.reason, remedy="it is tried again")
            return None
        marked = with_markers(secret, listing.requests)
        found += [(marker, request.request_id) for request, marker in marked]
        ours = {request.request_id for request, _ in marked}
        without += [request for request in listing.requests if request.request_id not in ours]
    since_ms = start_ms if stop.good_ms is None else stop.good_ms - CLOCKS_MS
    without.sort(key=lambda request: request.sent_ms)
    return found, [request.request_id for request in without if request.sent_ms >= since_ms]


async def _undecided(gateway: Gateway, stop: Epoch) -> list[str]:
    """The refs of jobs in line that were admitted before the stop."""
    jobs = await gateway.stores.jobs.get_many(await gateway.epoch.may_be_queued())
    since_ms = stop.since_ms or 0
    return [job.ref for job in jobs if job and job.status is Status.QUEUED and job.created_ms <= since_ms]
