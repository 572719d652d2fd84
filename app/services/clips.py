"""Finished clips for whoever may read them: where a file is, and addresses that need no key."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import structlog

from app.domain.clips import (
    KEPT,
    KEPT_POSTER,
    FileName,
    KeptFile,
    is_signed,
    name_of,
    signed_address,
    storage_key,
    storage_keys,
)
from app.domain.errors import Code, Conflict, Forbidden, NotFound, StorageAway, Unprocessable
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status
from app.store.clock import StoreClock
from app.store.jobs import JobStore

if TYPE_CHECKING:
    from app.media.storage import Storage

AT_FAL_MS = 7 * 86_400_000  # from a job's end: fal documents that it keeps files for at least a week
AT_FAL_MARGIN_MS = 86_400_000  # before its end: a job that names a clip may wait in line
NOT_SET = "FILMGATE_STORAGE is not set, and this clip was kept"
DIRECT_SECONDS = 3600  # of an address of the bucket

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Link:
    """An address that needs no key, and when it ends (Unix milliseconds)."""

    url: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A kept file as it is in the storage now: bytes, media type, ETag, and when it was written (Unix ms)."""

    size: int
    content_type: str
    etag: str
    modified_ms: int


class Clips:
    """Reads files of jobs. `storage` is None where none are kept: they are at fal."""

    def __init__(
        self, jobs: JobStore, clock: StoreClock, storage: "Storage | None", *, base_url: str, direct: bool
    ) -> None:
        self._jobs = jobs
        self._clock = clock
        self._storage = storage
        self._base_url = base_url
        self._addresses = f"{base_url}/v1/clips/"
        self._direct = direct

    async def by_address(
        self, team: str, job_id: str, title: str, *, until_s: str, signature: str
    ) -> tuple[Job, FileName]:
        """The job and the file of a signed address.

        Raises:
            NotFound: nobody has signed it, or the job is gone or erased.
            Forbidden: its time is over.
        """
        name, job = name_of(title), await self._jobs.get(join_ref(team, job_id))
        if name is None or job is None or job.erased or not is_signed(job, name, until_s, signature):
            raise NotFound("There is no clip at this address.")
        if await self._clock.now_ms() >= int(until_s) * 1000:
            raise Forbidden("This address has expired; ask for a new one.", code=Code.ADDRESS_EXPIRED)
        return job, name

    def is_address(self, url: str) -> bool:
        """True for an address of a kept clip of this gateway, whether or not it is a good one."""
        return url.startswith(self._addresses)

    async def url_for_fal(self, url: str) -> str:
        """Where fal reads the file of such an address: at its own, which it always reaches, while it has the file.

        Afterwards at ours. Unprocessable when nobody has signed the address, or its time is over.
        """
        parts = urlsplit(url)
        team, job_id, title = [*parts.path.split("/")[3:], "", "", ""][:3]
        query = dict(parse_qsl(parts.query))
        try:
            until_s, signature = query.get("expires", ""), query.get("signature", "")
            job, name = await self.by_address(team, job_id, title, until_s=until_s, signature=signature)
            file = file_of(job, name)
        except (ValueError, NotFound, Forbidden, Conflict):
            raise Unprocessable("There is no clip at this address, or its time is over.") from None
        at_fal_ms = (job.completed_ms or 0) + AT_FAL_MS - AT_FAL_MARGIN_MS
        return file["url"] if file["url"] and await self._clock.now_ms() < at_fal_ms else url

    def kept_names(self, job: Job) -> list[str]:
        """The names in the storage of our copies of a job's files, of those under way too."""
        if self._storage is None or job.clip_secret is None:
            return []
        return storage_keys(job, job.output)

    async def link(self, job: Job, name: FileName, *, seconds: int) -> Link:
        """An address of a file that needs no key for so long, at most until all of its addresses end."""
        file = file_of(job, name)
        if job.clip_secret is None or job.clip_until_ms is None:
            sentence = (
                "This job's files are only at fal, whose own address needs no key: it is in the job's output."
            )
            raise Conflict(sentence, code=Code.NO_VIDEO)
        now_ms = await self._clock.now_ms()
        until_s = min(now_ms // 1000 + seconds, job.clip_until_ms // 1000)
        return Link(signed_address(job, name, file, base_url=self._base_url, until_s=until_s), until_s * 1000)

    async def elsewhere(self, job: Job, name: FileName) -> str | None:
        """The address to which a reader is sent: fal's, or the bucket's; None when we have the file to send."""
        file = file_of(job, name)
        if KeptFile.of(file) is None or self._storage is None:
            return str(file["url"])
        if not self._direct:
            return None
        try:
            return await self._storage.signed_url(storage_key(job, name), seconds=DIRECT_SECONDS)
        except StorageAway as error:
            return await self._at_fal(job, file["url"], error)

    async def facts(self, job: Job, name: FileName) -> ClipFacts | str:
        """What our copy is now; fal's address when we do not have what was kept, and fal still has it.

        Raises:
            NotFound: neither has it any more.
            StorageAway: the storage cannot be used, and fal's week is over.
        """
        file = file_of(job, name)
        kept = KeptFile.of(file)
        if kept is None:
            return await self._at_fal(job, file["url"])
        if self._storage is None:
            return await self._at_fal(job, file["url"], StorageAway("unusable", NOT_SET))
        try:
            stored = await self._storage.head(storage_key(job, name))
        except StorageAway as error:
            return await self._at_fal(job, file["url"], error)
        if stored is None or stored.size != kept.size:
            return await self._lost(job, name, "missing" if stored is None else f"{stored.size} bytes")
        written_again = stored.modified_ms != kept.at_ms
        etag = f"{kept.sha256}-{stored.modified_ms}" if written_again else kept.sha256
        return ClipFacts(kept.size, kept.content_type, f'"{etag}"', stored.modified_ms)

    async def open(self, job: Job, name: FileName, *, start: int, length: int) -> AsyncGenerator[bytes, None] | str:
        """The bytes of our copy; otherwise as `facts`."""
        from app.media.storage import NothingStored  # noqa: PLC0415  only where there is a storage

        if self._storage is None:
            return await self._at_fal(job, file_of(job, name)["url"], StorageAway("unusable", NOT_SET))
        try:
            _, chunks = await self._storage.open(storage_key(job, name), start=start, length=length)
        except StorageAway as error:
            return await self._at_fal(job, file_of(job, name)["url"], error)
        except NothingStored:
            return await self._lost(job, name, "missing")
        return chunks

    async def _lost(self, job: Job, name: FileName, found: str) -> str:
        """Fal's address for a copy that is not there any more; NotFound when fal has it no longer."""
        log.error("clip.missing", **job.names, object=storage_key(job, name), found=found)
        return await self._at_fal(job, file_of(job, name)["url"])

    async def _at_fal(self, job: Job, url: str, error: StorageAway | None = None) -> str:
        """Fal's address while it must still have the file; afterwards NotFound, or why our copy cannot be read."""
        if url and await self._clock.now_ms() < (job.completed_ms or 0) + AT_FAL_MS:
            return url
        raise error or NotFound("The clip is not kept any more.")


def file_of(job: Job, name: FileName) -> dict[str, Any]:
    """The file of an ended job, with fal's address; Conflict where there is none.

    A poster is made here, so it has no address at fal (""), and is NotFound where there is none.
    """
    if name == "poster":
        video = file_of(job, "video")
        if KEPT_POSTER not in video:
            raise NotFound("There is no poster of this clip.")
        return {"url": "", KEPT: video[KEPT_POSTER]}
    if job.erased:
        raise Conflict("The job was erased, and its clip with it.", code=Code.NO_VIDEO)
    if job.output is None or job.status is not Status.SUCCEEDED:
        raise Conflict(f"The job is {job.status.value}; there is no clip.", code=Code.NO_VIDEO)
    if name not in job.output:
        raise Conflict(f"{job.model} makes no {name}; the job's output has what it made.", code=Code.NO_VIDEO)
    file: dict[str, Any] = job.output[name]
    return file
