"""The storage: a folder, or a bucket of S3, Google or Azure, in which clips and uploads are kept.

obstore speaks to all of them. It starts threads at its first call, which a fork would not copy: a process that
forks others never uses a storage. A reader sees an object whole or not at all: obstore renames a finished file, and
a bucket shows an upload when it is complete.

    StorageAway     the storage did not do it; `reason` says why
    NothingStored   there is no object under this key
"""

import asyncio
import io
import os
import secrets
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Self

import obstore
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from app.domain.errors import StorageAway, StorageReason
from app.domain.storage_address import StorageAddress
from app.media.storage_errors import CallFailed, OutOfRange, fault_words, foreign_errors, unusable_settings
from app.media.waiting_files import RESERVE_BYTES
from app.outages import Outage

PART_BYTES = 5 * 1024 * 1024  # of a larger object, the least that S3 takes
PARTS_AT_ONCE = 2  # in memory, for each object
READ_BYTES = 256 * 1024
PAGE = 1000
DELETES_AT_ONCE = 8
CALL_SECONDS = 30.0  # of a call without content, its repetitions included
BYTES_A_SECOND = 250_000  # that an object may take longer
STREAM_SECONDS = 3600.0  # of an object whose size is not known
CHUNK_SECONDS = 60.0  # of READ_BYTES; a file that is cut while LocalStore reads it has no end
# Repeated inside: what a server or a connection answers by chance. A whole object is tried again by its caller.
RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
# No total time: a slow reader of a large clip is no fault. A server that says nothing for half a minute is one.
CLIENT: Any = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1day"}
TRIAL_PREFIX = "trial"
MARK = "filmgate.storage"  # an object with an id, by which a storage is known; `app/services/storage_mark.py`
MARK_TEXT = "The mark of this storage of Filmgate, by which it is known: do not delete it."


class NothingStored(Exception):
    """There is no object under this key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: bytes, and when it was written (Unix milliseconds)."""

    key: str
    size: int
    modified_ms: int
    etag: str | None


class Storage:
    """Reads and writes objects under keys such as `clips/TEAM/JOB/video.mp4`. Opening it calls nobody.

    `check` raises StorageAway when it is not the storage that is meant: a folder whose disk is not mounted may be
    there all the same. It is called in each trial, for a missing object, and before a folder is changed or listed.
    """

    def __init__(
        self,
        address: StorageAddress,
        *,
        key_id: str | None = None,
        secret: str | None = None,
        check: "Callable[[Storage], Awaitable[None]] | None" = None,
    ) -> None:
        self.address = address
        self._folder = Path(address.place) if address.kind == "local" else None
        self._key = (key_id, secret)
        self._bucket: ObjectStore | None = None
        self._check = check
        self._outage = Outage("storage")

    async def put(self, key: str, content: bytes | BinaryIO | AsyncIterator[bytes], *, content_type: str) -> Stored:
        """Write an object, or replace it: from then on readers get it whole. On a folder's disk it is durable then.

        Raises:
            StorageAway: it was not written, or is not what was given; nothing is left under the key.
        """
        size = _size_of(content)
        counted = _Counted(content) if isinstance(content, AsyncIterator) else None
        seconds = STREAM_SECONDS if size is None else CALL_SECONDS + size / BYTES_A_SECOND
        await self._require_folder()
        async with self._calls("put", seconds=seconds):
            options: dict[str, Any] = {} if self._folder else {"attributes": {"Content-Type": content_type}}
            if self._folder is not None:
                await asyncio.to_thread(_require_room, self._folder, size or 0)
            await obstore.put_async(
                self._open(),
                key,
                counted or content,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
                **options,
            )
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / key)
            stored = await self._head(key)
        await self._require_folder()  # its disk may have gone while the object was written
        expected = counted.size if counted else size
        if stored is None or stored.size != expected:
            await self.delete([key])
            raise self._fault("lied", f"{expected} bytes were given, {stored.size if stored else 0} are there")
        return stored

    @asynccontextmanager
    async def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[tuple[Stored, AsyncIterator[bytes]]]:
        """The object, and its bytes from `start` on, in chunks; at most `length` of them.

        Raises:
            NothingStored: there is no such object, or it ends before `start`.
            StorageAway: the storage does not give it; also in the middle.
        """
        yield await self.open(key, start=start, length=length)

    async def open(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> tuple[Stored, AsyncGenerator[bytes, None]]:
        """As `read`, for whoever reads later; nothing needs to be closed."""
        options: Any = {}
        if start or length is not None:
            options = {"range": {"offset": start} if length is None else (start, start + length)}
        try:
            async with self._calls("get", seconds=CALL_SECONDS):
                found = await obstore.get_async(self._open(), key, options=options)
        except (FileNotFoundError, OutOfRange):
            await self.require()
            raise NothingStored(key) from None
        return _stored(found.meta), self._chunks(found)

    async def _chunks(self, found: Any) -> AsyncGenerator[bytes, None]:
        chunks = found.stream(min_chunk_size=READ_BYTES)
        while True:
            async with self._calls("get", seconds=CHUNK_SECONDS):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def head(self, key: str) -> Stored | None:
        """What is stored under the key, or None."""
        async with self._calls("head", seconds=CALL_SECONDS):
            found = await self._head(key)
        if found is None:
            await self.require()
        return found

    async def _head(self, key: str) -> Stored | None:
        with suppress(FileNotFoundError):
            return _stored(await obstore.head_async(self._open(), key))
        return None

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these objects; those that are not there are deleted already."""
        await self._require_folder()
        room = asyncio.Semaphore(DELETES_AT_ONCE)

        async def one(key: str) -> None:
            async with room, self._calls("delete", seconds=CALL_SECONDS):
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._open(), key)

        await asyncio.gather(*(one(key) for key in keys))

    async def list(self, prefix: str, *, after: str | None = None) -> AsyncIterator[Sequence[Stored]]:
        """Pages of the objects below a prefix, which ends where a name of a folder does; `after` a key.

        A bucket sorts them by key; a folder does not.
        """
        await self._require_folder()
        pages: Any = None
        while True:
            async with self._calls("list", seconds=CALL_SECONDS):
                pages = pages or obstore.list(self._open(), prefix, offset=after, chunk_size=PAGE)
                page = await anext(pages, None)
            if page is None:
                return
            yield [_stored(meta) for meta in page]

    async def signed_url(self, key: str, *, seconds: int) -> str | None:
        """An address of the bucket at which anybody can read the object for so long; None for a folder."""
        if self._folder is not None:
            return None
        async with self._calls("sign", seconds=CALL_SECONDS):
            bucket: Any = self._open()  # no folder, which cannot sign
            return await obstore.sign_async(bucket, "GET", key, timedelta(seconds=seconds))

    async def trial(self) -> None:
        """Write, read and delete a small object; StorageAway with a sentence when one of them fails."""
        await self.require()
        key, content = f"{TRIAL_PREFIX}/{secrets.token_hex(8)}", secrets.token_bytes(64)
        await self.put(key, content, content_type="application/octet-stream")
        try:
            async with self.read(key) as (_, chunks):
                found = b"".join([chunk async for chunk in chunks])
        except NothingStored:
            found = b""
        await self.delete([key])
        if found != content:
            raise self._fault("lied", "a trial object was read back differently")

    async def require(self) -> None:
        """StorageAway when this is not the storage that is meant."""
        if self._check is not None:
            await self._check(self)

    async def _require_folder(self) -> None:
        if self._folder is not None:
            await self.require()

    async def mark(self) -> str | None:
        """The id in its mark; None where there is no mark."""
        if await self._is_missing():
            return None
        try:
            async with self._calls("get", seconds=CALL_SECONDS, counts=False):
                found = await obstore.get_async(self._open(), MARK)
                content = bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        return content.decode(errors="replace").partition("\n")[0]

    async def write_mark(self, mark: str) -> None:
        """Make this a storage with this id; a folder is created, for this user only."""
        async with self._calls("put", seconds=CALL_SECONDS):
            if self._folder is not None:
                await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            await obstore.put_async(self._open(), MARK, f"{mark}\n{MARK_TEXT}\n".encode())
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / MARK)

    async def is_empty(self) -> bool:
        """True when there is no object at all."""
        if await self._is_missing():
            return True
        async with self._calls("list", seconds=CALL_SECONDS, counts=False):
            return not await anext(obstore.list(self._open(), chunk_size=1), None)

    async def not_meant(self, mark: str | None) -> StorageAway:
        """The error for a storage that has another mark than is known, or none."""
        missing = "it has no mark" if mark is None else "its mark is another's"
        return self._fault("unmarked", "there is no such folder" if await self._is_missing() else missing)

    async def _is_missing(self) -> bool:
        return self._folder is not None and not await asyncio.to_thread(self._folder.exists)

    @asynccontextmanager
    async def _calls(self, call: str, *, seconds: float, counts: bool = True) -> AsyncIterator[None]:
        """Translate every failure inside to StorageAway; the log notes when they begin and end.

        `counts`: a success is a sign that the storage can be used again.
        """
        try:
            with foreign_errors(call):
                async with asyncio.timeout(seconds):
                    yield
        except CallFailed as failed:
            raise self._fault(failed.reason, failed.cause) from None
        if counts:
            self._outage.worked()

    def _fault(self, reason: StorageReason, cause: str) -> StorageAway:
        """The error; the log gets one line for each reason until the storage does something again."""
        self._outage.failed(reason, storage=str(self.address), detail=cause)
        words = fault_words(reason, folder=self._folder is not None)
        return StorageAway(reason, f"{self.address} {words} ({cause})")

    def _open(self) -> ObjectStore:
        """The bucket, or the folder."""
        if self._bucket is None:
            folder = self._folder
            if folder is None:
                with unusable_settings(self.address.kind):
                    self._bucket = _bucket(self.address, *self._key)
                return self._bucket
            if not folder.is_dir():
                if folder.exists():
                    raise CallFailed("unusable", "it is a file")
                raise CallFailed("no_bucket", "no such folder")
            self._bucket = LocalStore(folder, automatic_cleanup=True)
        return self._bucket


def _bucket(address: StorageAddress, key_id: str | None, secret: str | None) -> ObjectStore:
    """The bucket. What is not given comes from the provider's own environment, or the machine's identity."""
    plain = address.endpoint is not None and address.endpoint.startswith("http://")
    common: dict[str, Any] = {
        "prefix": address.prefix or None,
        "retry_config": RETRIES,
        "client_options": _given(**CLIENT, allow_http=plain),
    }
    if address.kind == "gs":
        return GCSStore(address.place, config=_given(base_url=address.endpoint), **common)
    if address.kind == "az":
        account = _given(account_name=address.account or key_id, account_key=secret, endpoint=address.endpoint)
        return AzureStore(address.place, config=account, **common)
    config = _given(
        access_key_id=key_id,
        secret_access_key=secret,
        endpoint=address.endpoint,
        region=address.region,
        virtual_hosted_style_request=address.virtual_host or None,
    )
    return S3Store(address.place, config=config, **common)


def _given(**options: Any) -> Any:
    return {name: value for name, value in options.items() if value is not None}


def _require_room(folder: Path, size: int) -> None:
    """Keep a reserve of the folder's disk free: the store may be on it."""
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE_BYTES:
        raise CallFailed(
            "full", f"{free // 1_000_000} MB are free on its disk; {RESERVE_BYTES // 1_000_000} stay so"
        )


def _flush(path: Path) -> None:
    """Let the disk have a file and its name, so that they outlive a loss of power."""
    for name, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(name, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stored(meta: Any) -> Stored:
    return Stored(meta["path"], meta["size"], round(meta["last_modified"].timestamp() * 1000), meta["e_tag"])


def _size_of(content: bytes | BinaryIO | AsyncIterator[bytes]) -> int | None:
    """The bytes of it, from its beginning; None for a stream."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, AsyncIterator):
        return None
    size = content.seek(0, io.SEEK_END)
    content.seek(0)
    return size


class _Counted:
    """A stream, and how many bytes of it have passed."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        return chunk
