"""Deletes from the storage what is not kept any more: old clips and uploads, what was erased, abandoned parts."""

import time

import structlog

from app.gateway import Gateway

BATCH = 100
SECONDS = 10.0  # of one run; the rest comes with the next

log = structlog.get_logger()


async def delete_due(gateway: Gateway) -> None:
    """One run, for one process of all hosts at a time; two at once would do no harm.

    1. take files whose time is over, each only for a while: whatever process dies now, they are taken again
    2. delete their objects; a missing one is deleted already
    3. forget them

    Raises:
        StorageAway: the storage does not delete now; the files are taken again in two minutes.
    """
    storage, kept = gateway.storage, gateway.stores.kept_files
    until, count = time.monotonic() + SECONDS, 0
    while storage is not None and time.monotonic() < until:
        names = await kept.take_due(BATCH)
        await storage.delete(names)
        await kept.forget(names)
        count += len(names)
        if len(names) < BATCH:
            break
    if count:
        log.info("storage.deleted", files=count)
