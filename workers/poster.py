"""The poster of a clip that was just kept: its first frame, beside it in the storage."""

import asyncio
import hashlib
from typing import Any, BinaryIO

import structlog

from app.domain.clips import KEPT_POSTER, KeptFile, storage_key
from app.domain.errors import Forbidden, StorageAway, StoreUnavailable
from app.domain.jobs import Job, Status
from app.gateway import Gateway
from app.media.posters import make_poster

ENDS_WITHIN_S = 10.0  # a job that waited for its clip, once that is recorded
LOOK_EVERY_S = 0.2
JPEG = "image/jpeg"

log = structlog.get_logger()


async def add_poster(gateway: Gateway, ref: str, clip: BinaryIO, video: dict[str, Any]) -> None:
    """Make a poster of a kept clip; `clip` is its file on this disk, `video` its member of the stored output.

    1. decode the first frame in a process of its own
    2. count it, and write it beside the clip
    3. record it, unless the job was erased meanwhile: then it is deleted

    Whatever fails is logged, and there is no poster: it is not tried again.
    """
    try:
        poster = await make_poster(clip, video["kept"]["content_type"])
        job = await _ended(gateway, ref)
        if poster is None or job is None or gateway.storage is None:
            return
        key, size = storage_key(job, "poster"), len(poster.content)
        await gateway.stores.kept_files.hold(key, size)
        stored = await gateway.storage.put(key, poster.content, content_type=JPEG)
        kept = KeptFile(
            size=size,
            sha256=hashlib.sha256(poster.content).hexdigest(),
            content_type=JPEG,
            at_ms=stored.modified_ms,
            width=poster.width,
            height=poster.height,
        )
        output = {**(job.output or {}), "video": {**video, KEPT_POSTER: kept.stored()}}
        if await gateway.stores.copies.record(job, output, expires_ms=job.clip_until_ms):
            await gateway.stores.kept_files.keep(key, size)
        else:
            await gateway.stores.kept_files.drop([key])
    except (StorageAway, StoreUnavailable, Forbidden) as error:
        log.warning("clip.no_poster", ref=ref, reason=str(error))


async def _ended(gateway: Gateway, ref: str) -> Job | None:
    """The job once it has succeeded: one that waited for its clip ends right after that was recorded."""
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while True:
                job = await gateway.stores.jobs.get(ref)
                if job is None or job.erased or job.status is Status.SUCCEEDED:
                    return None if job is None or job.erased else job
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return None
