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
import re
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Self

import obstore
import structlog
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store

from app.domain.errors import StorageAway, StorageReason
from app.domain.storage_address import StorageAddress
from app.media.waiting_files import RESERVE_BYTES

PART_BYTES = 5 * 1024 * 1024  # of a larger object, the least that S3 takes
PARTS_AT_ONCE = 2  # in memory, for each object
READ_BYTES = 256 * 1024
PAGE = 1000
DELETES_AT_ONCE = 8
CALL_SECONDS = 30.0  # of a call without content, its repetitions included
BYTES_A_SECOND = 250_000  # that an object may take longer
STREAM_SECONDS = 3600.0  # of an object whose size is not known
# Repeated inside: what a server or a connection answers by chance. A whole object is tried again by its caller.
RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
# No total time: a slow reader of a large clip is no fault. A server that says nothing for half a minute is one.
CLIENT: Any = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1day"}
TRIAL_PREFIX = "trial"
_REASONS: tuple[tuple[StorageReason, re.Pattern[str]], ...] = (
    ("full", re.compile(r"os error (?:28|122)\)|507 Insufficient|StorageFull|QuotaExceeded|EntityTooLarge")),
    (
        "denied",
        re.compile(r"os error (?:1|13|30)\)|40[13] [FU]|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"),
    ),
    ("no_bucket", re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")),
)
_OUT_OF_RANGE = re.compile(r"Requested range was invalid|416 R|InvalidRange")
_WORDS: dict[StorageReason, str] = {
    "away": "does not answer",
    "denied": "refuses access; check its key, and the rights to write, read and delete",
    "no_bucket": "does not exist; create it first",
    "full": "is full",
    "unusable": "cannot be used",
    "lied": "does not give back what was written",
}

log = structlog.get_logger()


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
    """Reads and writes objects under keys such as `clips/TEAM/JOB/video.mp4`. Opening it calls nobody."""

    def __init__(self, address: StorageAddress, *, key_id: str | None = None, secret: str | None = None) -> None:
        self.address = address
        self._folder = Path(address.place) if address.kind == "local" else None
        self._bucket = None if self._folder else _bucket(address, key_id, secret)
        self._away_since: float | None = None

    async def put(self, key: str, content: bytes | BinaryIO | AsyncIterator[bytes], *, content_type: str) -> Stored:
        """Write an object, or replace it: from then on readers get it whole. On a folder's disk it is durable then.

        Raises:
            StorageAway: it was not written, or is not what was given; nothing is left under the key.
        """
        size = _size_of(content)
        counted = _Counted(content) if isinstance(content, AsyncIterator) else None
        seconds = STREAM_SECONDS if size is None else CALL_SECONDS + size / BYTES_A_SECOND
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
        except (FileNotFoundError, _OutOfRange):
            raise NothingStored(key) from None
        return _stored(found.meta), self._chunks(found)

    async def _chunks(self, found: Any) -> AsyncGenerator[bytes, None]:
        chunks = found.stream(min_chunk_size=READ_BYTES)
        while True:
            async with self._calls("get", seconds=None):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def head(self, key: str) -> Stored | None:
        """What is stored under the key, or None."""
        async with self._calls("head", seconds=CALL_SECONDS):
            return await self._head(key)

    async def _head(self, key: str) -> Stored | None:
        with suppress(FileNotFoundError):
            return _stored(await obstore.head_async(self._open(), key))
        return None

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these objects; those that are not there are deleted already."""
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
        if isinstance(self._bucket, S3Store | GCSStore | AzureStore):
            async with self._calls("sign", seconds=CALL_SECONDS):
                return await obstore.sign_async(self._bucket, "GET", key, timedelta(seconds=seconds))
        return None

    async def trial(self) -> None:
        """Write, read and delete a small object; StorageAway with a sentence when one of them fails."""
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

    @asynccontextmanager
    async def _calls(self, call: str, *, seconds: float | None) -> AsyncIterator[None]:
        """Translate every failure inside to StorageAway; note when they begin and end."""
        try:
            with _foreign_errors(call):
                async with asyncio.timeout(seconds):
                    yield
        except _Failed as failed:
            raise self._fault(failed.reason, failed.cause) from None
        if self._away_since is not None:
            log.warning(
                "storage.back", storage=str(self.address), away_s=round(time.monotonic() - self._away_since, 1)
            )
            self._away_since = None

    def _fault(self, reason: StorageReason, cause: str) -> StorageAway:
        """The error; the log gets one line until the storage does something again."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.error("storage.away", storage=str(self.address), reason=reason, cause=cause)
        return StorageAway(reason, f"{self.address} {_WORDS[reason]} ({cause})")

    def _open(self) -> ObjectStore:
        """The bucket, or the folder, which is created for this user only."""
        if self._bucket is None:
            folder = Path(self.address.place)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._bucket = LocalStore(folder, automatic_cleanup=True)
        return self._bucket


class _Failed(Exception):
    """A call that failed: why, in our words and in the storage's own."""

    def __init__(self, reason: StorageReason, cause: str) -> None:
        super().__init__(cause)
        self.reason = reason
        self.cause = cause


class _OutOfRange(Exception):
    """The object ends before the first byte that was asked for."""


@contextmanager
def _foreign_errors(call: str) -> Iterator[None]:
    """Turn errors of obstore and of the system into ours; FileNotFoundError stays where an object is missing."""
    try:
        yield
    except FileNotFoundError as error:
        if call in {"get", "head", "delete"} and _reason_of(error) != "no_bucket":
            raise
        raise _Failed("no_bucket", _cause(error)) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _Failed("denied", _cause(error)) from None
    except TimeoutError:
        raise _Failed("away", "no answer in time") from None
    except (BaseError, OSError, ValueError) as error:
        if call == "get" and _OUT_OF_RANGE.search(str(error)):
            raise _OutOfRange from None
        raise _Failed(_reason_of(error), _cause(error)) from None


def _reason_of(error: Exception) -> StorageReason:
    text = f"(os error {error.errno}) {error}" if isinstance(error, OSError) and error.errno else str(error)
    local = isinstance(error, OSError) or "LocalFileSystem" in text
    return next((reason for reason, pattern in _REASONS if pattern.search(text)), "unusable" if local else "away")


def _cause(error: Exception) -> str:
    """The first line of what obstore says, which has no secret in it; what follows is for its developers."""
    return str(error).partition("\n")[0][:300]


def _bucket(address: StorageAddress, key_id: str | None, secret: str | None) -> ObjectStore:
    """The bucket. What is not given comes from the provider's own environment, or the machine's identity."""
    common: dict[str, Any] = {"prefix": address.prefix or None, "retry_config": RETRIES}
    if address.kind == "gs":
        return GCSStore(address.place, client_options=CLIENT, **common)
    if address.kind == "az":
        account = _given(account_name=address.account or key_id, account_key=secret)
        return AzureStore(address.place, client_options=CLIENT, **common, **account)
    config = _given(
        access_key_id=key_id,
        secret_access_key=secret,
        endpoint=address.endpoint,
        region=address.region,
        virtual_hosted_style_request=address.virtual_host or None,
    )
    plain = address.endpoint is not None and address.endpoint.startswith("http://")
    return S3Store(address.place, config=config, client_options=_given(**CLIENT, allow_http=plain), **common)


def _given(**options: Any) -> Any:
    return {name: value for name, value in options.items() if value is not None}


def _require_room(folder: Path, size: int) -> None:
    """Keep a reserve of the folder's disk free: the store may be on it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE_BYTES:
        raise _Failed("full", f"{free // 1_000_000} MB are free on its disk; {RESERVE_BYTES // 1_000_000} stay so")


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
