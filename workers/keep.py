"""The step `keep`: the files of a job that fal has made are copied to the storage."""

import asyncio
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, BinaryIO

import structlog

from app.domain.clips import KeptFile, files_of, is_kept, storage_key, storage_keys
from app.domain.errors import StorageAway, StoreUnavailable
from app.domain.jobs import Job, Status
from app.gateway import Gateway
from app.metrics.table import COPIED_BYTES, COPIES
from app.services.clip_copies import ClipCopies, NoRoom, NotCopied, room_for
from app.store.copies import UNCOPIED_AFTER
from app.tasks import cancel_and_wait
from app.telemetry import note
from workers.poster import add_poster
from workers.runtime import Runtime
from workers.storage_care import (
    CARE_EVERY_S,
    alarm_uncopied,
    care_for_storage,
    note_storage_away,
    resolve_uncopied,
)

AT_ONCE = 4  # copies in one process; each has up to 10 MB in memory
LEASE_MS = 15_000  # renewed while a copy runs: after a kill, it begins again so soon
RENEW_S = 5.0
TAKE_EVERY_S = 0.25
ROUND_S = 300.0  # after it, a round takes no further copies, and ends with the last
STOP_S = 10.0  # for running copies when the process stops; slower ones begin again elsewhere
RETRY_S = (5, 15, 60, 300, 900, 3600)  # after each failure in a row; the last one again and again
ROOM_RETRY_S = 60  # while its team's storage limit is reached: nothing is downloaded for that
AWAY_RETRY_MS = 30_000  # while the storage does not take anything; not counted
NOT_YET_MS = 1_000

log = structlog.get_logger()


async def keep_all(runtime: Runtime) -> None:
    """One round of copies.

    1. look after the storage, at the beginning and every 15 s
    2. take due jobs, as many as there is room for, and copy their files
    3. renew the leases of the running copies, and take more meanwhile
    4. end with the last one; the lane enqueues the next round. A stopping process cancels slow copies
    """
    await CopyRound(runtime).run()


class CopyRound:
    """The copies of one task."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._gateway = runtime.gateway
        self._running: dict[str, asyncio.Task[None]] = {}
        self._began = time.monotonic()
        self._cared = False

    async def run(self) -> None:
        """Run until nothing is due or running."""
        renewing, caring = asyncio.create_task(self._renew()), asyncio.create_task(self._care())
        try:
            while not self._runtime.stopping:
                found = await self._start_due() if time.monotonic() - self._began < ROUND_S else 0
                if not self._running and self._cared:
                    return
                if not found:
                    await self._wait(TAKE_EVERY_S)
            await self._wait(STOP_S, until=asyncio.ALL_COMPLETED)
        finally:
            refs = list(self._running)
            await cancel_and_wait(renewing, caring, *self._running.values())
            with suppress(StoreUnavailable):
                await self._hide(refs, 0)

    async def _wait(self, seconds: float, *, until: str = asyncio.FIRST_COMPLETED) -> None:
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds, return_when=until)
        elif not self._runtime.stopping:
            await asyncio.sleep(seconds)

    async def _care(self) -> None:
        while True:
            try:
                await care_for_storage(self._gateway)
            finally:
                self._cared = True
            await asyncio.sleep(CARE_EVERY_S)

    async def _start_due(self) -> int:
        room = AT_ONCE - len(self._running)
        if room <= 0:
            return 0
        _, refs = await self._gateway.stores.due.take("keep", limit=room, visibility_ms=NOT_YET_MS)
        new = [ref for ref in refs if ref not in self._running]
        for ref in new:
            copying = asyncio.create_task(self._runtime.attempt(keep, ref))
            self._running[ref] = copying
            copying.add_done_callback(partial(self._done, ref))
        return len(new)

    def _done(self, ref: str, _: asyncio.Task[None]) -> None:
        del self._running[ref]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(StoreUnavailable):  # the leases then expire, and a second copy is the same as the first
                await self._hide(list(self._running), LEASE_MS)

    async def _hide(self, refs: list[str], hidden_ms: int) -> None:
        """Make these due after so long; those that have ended meanwhile are due no more."""
        if refs:
            now_ms = await self._gateway.stores.clock.now_ms()
            await self._gateway.stores.due.reschedule("keep", dict.fromkeys(refs, now_ms + hidden_ms))


async def keep(gateway: Gateway, ref: str) -> None:
    """Copy the files of one job.

    1. lease the job, unless another task has it
    2. nothing to do: it is gone, erased, copied already, or fal has its files no longer
    3. copy each file that has no copy yet; after a failure, try again later until fal's copy expires
    4. record the copies: from now on its addresses lead to them, and a job that waits for them ends. When the job
       was erased meanwhile, delete them
    5. make a poster of the clip, where that is set; whatever becomes of it, the copy stays
    """
    async with gateway.stores.quarantine.lease("keep", ref, hidden_ms=LEASE_MS) as now_ms:
        if now_ms:
            await _keep(gateway, ref, now_ms)


async def _keep(gateway: Gateway, ref: str, now_ms: int) -> None:
    job = await gateway.stores.jobs.get(ref)
    if job is not None and job.status is Status.FINALIZING and job.pending_output is None:
        await gateway.stores.copies.put_off(job, delay_ms=NOT_YET_MS, failed=False)  # its output is being written
        return
    note(**({} if job is None else job.names))
    output = None if job is None else job.pending_output or job.output
    if job is None or output is None or job.erased or is_kept(output) or gateway.clip_copies is None:
        await gateway.stores.copies.drop(ref)
        return
    if job.status is Status.SUCCEEDED and now_ms >= (job.expires_ms or now_ms):
        await _lost(gateway, job, ref)
        return
    with ExitStack() as files:
        await _keep_files(gateway, gateway.clip_copies, job, output, files)


async def _keep_files(
    gateway: Gateway, copies: ClipCopies, job: Job, output: dict[str, Any], files: ExitStack
) -> None:
    copied, clip = dict(output), None
    try:
        for name, file in files_of(output):
            kept = KeptFile.of(file)
            if kept is None and name == "video" and gateway.settings.posters:
                clip = files.enter_context(copies.waiting_file())
            kept = kept or await _copied(
                gateway, copies, file, storage_key(job, name), clip if name == "video" else None
            )
            copied[name] = {**file, "kept": kept.stored()}
    except StorageAway as error:
        COPIES.add("storage_away")
        await gateway.stores.copies.put_off(job, delay_ms=AWAY_RETRY_MS, failed=False)
        await note_storage_away(gateway, error)
        return
    except NotCopied as error:
        await _try_again(gateway, job, error)
        return
    if await _record(gateway, job, copied) and clip is not None:
        await add_poster(gateway, job.ref, clip, copied["video"])


async def _copied(
    gateway: Gateway, copies: ClipCopies, file: dict[str, Any], key: str, through: BinaryIO | None
) -> KeptFile:
    """A copy; NoRoom before anything is downloaded, where fal's size of it is too much already."""
    size = file.get("file_size")
    with room_for(key):
        await gateway.stores.kept_files.require_room(key, size if isinstance(size, int) else 1)
    return await copies.copy(file["url"], key, through=through)


async def _record(gateway: Gateway, job: Job, output: dict[str, object]) -> bool:
    """True when the copies are recorded, False when nobody wants them any more."""
    if not await gateway.stores.copies.record(job, output, expires_ms=job.clip_until_ms):
        COPIES.add("unwanted")
        log.info("clip.unwanted", **job.names, reason="the job was erased while its files were copied")
        await gateway.stores.kept_files.drop(storage_keys(job, output))
        return False
    for name, file in files_of(output):
        await gateway.stores.kept_files.keep(storage_key(job, name), _size(file))
    size = sum(_size(file) for _, file in files_of(output))
    COPIES.add("kept")
    COPIED_BYTES.add(amount=size)
    log.info("clip.kept", **job.names, bytes=size)
    with suppress(StoreUnavailable):
        await resolve_uncopied(gateway)
    return True


def _size(file: dict[str, object]) -> int:
    kept = KeptFile.of(file)
    return 0 if kept is None else kept.size


async def _try_again(gateway: Gateway, job: Job, error: NotCopied) -> None:
    """Later, and with an alarm after several failures; a job that waits for its copies ends without them then."""
    COPIES.add("refused" if error.refused else "not_copied")
    no_room = isinstance(error, NoRoom)
    delay_s = ROOM_RETRY_S if no_room else RETRY_S[min(job.copy_failures, len(RETRY_S) - 1)]
    counts = not no_room or job.copy_failures < UNCOPIED_AFTER
    failures = await gateway.stores.copies.put_off(job, delay_ms=delay_s * 1000, failed=counts)
    log.warning("clip.not_copied", **job.names, reason=str(error), refused=error.refused, failures=failures)
    if failures < UNCOPIED_AFTER:
        return
    if job.status is Status.FINALIZING:
        await gateway.stores.jobs.update(job, (Status.FINALIZING,), due_step="finalize", delay_ms=0)
    with suppress(StoreUnavailable):
        await alarm_uncopied(gateway, job.ref, str(error).rstrip("."))


async def _lost(gateway: Gateway, job: Job, ref: str) -> None:
    """Give up: fal may have deleted the files by now."""
    await gateway.stores.copies.drop(ref)
    await gateway.stores.kept_files.drop(storage_keys(job, job.output))
    COPIES.add("lost")
    log.error("clip.lost", **job.names)
    sentence = f"The clip of {job.id} could not be copied to the storage before fal's copy expired."
    with suppress(StoreUnavailable):
        await gateway.stores.alarms.raise_alarm("clip_lost", sentence, job=job.id, quiet_ms=3_600_000)
        await resolve_uncopied(gateway)
