"""After the store went back in time: ask fal's history what was bought, and give the jobs their requests.

Absence proves nothing here: fal shows a request once it has started, and only payloads with an image of ours carry
the marker. So buying goes on by itself only when no job is left in line that may have been bought before.
"""

import structlog

from app.domain.jobs import Status
from app.domain.marker import Marker, read_marker
from app.fal.errors import UnusableAnswer
from app.gateway import Gateway
from app.store.epoch import Epoch
from app.store.jobs import ref_of

MARGIN_MS = 900_000
UNKNOWN_JOB = "fal has a request of a job that the store does not know: it was bought before the store went back."
UNKNOWN_ATTEMPT = "fal has a request of an attempt that the store does not know, for a job that is not in line."

log = structlog.get_logger()


async def recover_epoch(gateway: Gateway) -> bool:
    """One attempt, while buying is stopped; True when buying goes on again.

    1. list what fal had of every model since a little before the last time up to which the store is whole; a
       listing that is not whole decides nothing
    2. adopt what carries a marker of ours and belongs to a job in line; a request of an unknown job is an alarm
    3. leave the stop when no job that was in line before it is still there; otherwise say what a person must decide
    """
    stop = await gateway.epoch.stop()
    if stop is None:
        return True
    requests = await _marked_requests(gateway, stop)
    if requests is None:
        return False
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
        else:  # it is not cancelled: it may be the one that counts
            await gateway.stores.alarms.raise_once(
                "epoch_other", UNKNOWN_ATTEMPT, job=job.id, upstream_request_id=request_id
            )
    undecided = await _undecided(gateway, stop)
    summary = f"fal's history has {len(requests)} requests of ours since then: {adopted} jobs were given theirs, "
    summary += f"{unknown} belong to jobs that the store does not know"
    if not undecided:
        return await gateway.epoch.leave(stop, f"Buying goes on; {summary}.")
    sentence = f"{len(undecided)} jobs stand in line that may have been bought ({summary}); somebody must decide."
    log.warning("epoch.undecided", undecided=undecided[:10], count=len(undecided), remedy="`filmgate epoch accept`")
    await gateway.stores.alarms.raise_once("epoch_undecided", sentence)
    return False


async def _marked_requests(gateway: Gateway, stop: Epoch) -> list[tuple[Marker, str]] | None:
    """The requests at fal that carry a marker of ours, over all models; None when fal gave no whole listing."""
    now_ms = await gateway.stores.clock.now_ms()
    start_ms = (stop.good_ms or now_ms) - MARGIN_MS
    secret = await gateway.stores.secrets.of_markers()
    found: list[tuple[Marker, str]] = []
    for model in gateway.catalog:
        listing = await gateway.fal.history(model.id, start_ms=start_ms, end_ms=now_ms + MARGIN_MS)
        if isinstance(listing, UnusableAnswer):
            log.warning("epoch.no_history", model=model.id, reason=listing.reason, remedy="it is tried again")
            return None
        read = (
            (read_marker(secret, text), request.request_id)
            for request in listing.requests
            for text in request.markers
        )
        found += [(marker, request_id) for marker, request_id in read if marker is not None]
    return found


async def _undecided(gateway: Gateway, stop: Epoch) -> list[str]:
    """The jobs in line that were admitted before the stop began."""
    jobs = await gateway.stores.jobs.get_many(await gateway.epoch.may_be_queued())
    since_ms = stop.since_ms or 0
    return [ref_of(job) for job in jobs if job and job.status is Status.QUEUED and job.created_ms <= since_ms]
