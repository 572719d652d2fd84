"""Recovery after the store went back in time: finds bought requests in fal's history and adopts them.

A missing request proves nothing here: fal shows a request only after its start, and only payloads with an image of
ours have the marker. So buying resumes by itself only when no job is left in line that may have been bought.
"""

import structlog

from app.domain.jobs import Status
from app.domain.marker import Marker
from app.fal.errors import UnusableAnswer
from app.gateway import Gateway
from app.store.epoch import Epoch
from app.store.jobs import ref_of
from workers.reconcile import with_markers

MARGIN_MS = 900_000
UNKNOWN_JOB = "fal has a request of a job that the store does not know: it was bought before the store went back."
ELSEWHERE = "their pictures are not uploads of ours; fal's dashboard has their tags, if jobs are missed"
UNKNOWN_ATTEMPT = "fal has a request of an attempt that the store does not know, for a job that is not in line."

log = structlog.get_logger()


async def recover_epoch(gateway: Gateway) -> bool:
    """One attempt while buying is stopped; True when buying has resumed.

    1. list fal's requests for all models since a little before the store was last complete; an incomplete listing
       decides nothing
    2. adopt requests with our marker for jobs in line; raise an alarm for those of unknown jobs
    3. resume when no job from before the stop is left in line; otherwise an operator must decide
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
        more = f"; without a marker, from shortly before then on: {unmarked} ({ELSEWHERE})" if unmarked else ""
        return await gateway.epoch.leave(stop, f"Buying goes on; {summary}{more}.")
    sentence = f"{len(undecided)} jobs in line may have been bought before ({summary}); an operator must decide."
    log.warning("epoch.undecided", undecided=undecided[:10], count=len(undecided), remedy="`filmgate epoch accept`")
    await gateway.stores.alarms.raise_once("epoch_undecided", sentence)
    return False


async def _history(gateway: Gateway, stop: Epoch) -> tuple[list[tuple[Marker, str]], int] | None:
    """Requests of all models at fal with our marker, and how many have none; None after an incomplete listing."""
    now_ms = await gateway.stores.clock.now_ms()
    start_ms = (stop.good_ms or now_ms) - MARGIN_MS
    secret = await gateway.stores.secrets.of_markers()
    found: list[tuple[Marker, str]] = []
    total = 0
    for model in gateway.catalog:
        listing = await gateway.fal.history(model.id, start_ms=start_ms, end_ms=now_ms + MARGIN_MS)
        if isinstance(listing, UnusableAnswer):
            log.warning("epoch.no_history", model=model.id, reason=listing.reason, remedy="it is tried again")
            return None
        found += [(marker, request.request_id) for request, marker in with_markers(secret, listing.requests)]
        total += len(listing.requests)
    return found, total - len({request_id for _, request_id in found})


async def _undecided(gateway: Gateway, stop: Epoch) -> list[str]:
    """The refs of jobs in line that were admitted before the stop."""
    jobs = await gateway.stores.jobs.get_many(await gateway.epoch.may_be_queued())
    since_ms = stop.since_ms or 0
    return [ref_of(job) for job in jobs if job and job.status is Status.QUEUED and job.created_ms <= since_ms]
