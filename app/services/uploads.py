"""Uploaded pictures, videos and sound: checked by their bytes, and stored at fal; with a storage, also kept in it.

A picture that Kling does not read is made a JPEG or PNG; a video or sound is measured by its container's header.
"""

import asyncio
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from app.domain.accounts import Caller
from app.domain.errors import NotFound, TooLarge, Unprocessable, Violation
from app.domain.files import FileFacts, FileKind
from app.fal.client import FalClient
from app.media.conversion import PictureConverter, convertible
from app.media.images import MIN_SIDE, AnimatedImage, ImageFacts, check_limits, inspect
from app.media.kinds import START_BYTES, media_type
from app.media.lengths import is_cut_off, measure
from app.store.uploaded_files import UploadedFileStore

if TYPE_CHECKING:
    from app.services.kept_uploads import KeptUploads  # loads the storage's library

FILE_LIMIT = 30 * 1024 * 1024  # bytes; the most that Kling reads
MEDIA_LIMIT = 300 * 1024 * 1024  # bytes of a video or sound; the most that a Kling model reads
REMEMBER_S = 7 * 86_400  # fal keeps uploads at least as long
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}
MEDIA_SUFFIX = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
}
SHOWN = ("type", "size", "sha256", "url")  # of an uploaded image in a job
BOUNDS = {"image_too_small": {"min_height": MIN_SIDE, "min_width": MIN_SIDE}}  # as fal's errors have it


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """An image as it will be stored; `converted_from` is the media type that it had, None when it is unchanged."""

    content: bytes
    facts: ImageFacts
    converted_from: str | None = None


@dataclass(frozen=True, slots=True)
class KeptFor:
    """The name of an uploaded file in the storage, and for how many seconds it stays there."""

    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that fal can read at `url`; `kept` is its name in the storage, if there is one."""

    url: str
    facts: ImageFacts
    converted_from: str | None = None
    kept: KeptFor | None = None

    def view(self) -> dict[str, Any]:
        """`{type, size, sha256, url}`, as a job shows an uploaded image."""
        return {
            "type": self.facts.content_type,
            "size": self.facts.size,
            "sha256": self.facts.sha256,
            "url": self.url,
        }


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """A video or sound that fal can read at `url`; `kept` is its name in the storage, if there is one."""

    url: str
    sha256: str
    facts: FileFacts
    kept: KeptFor | None = None

    converted_from = None  # it is never converted


@dataclass(frozen=True, slots=True)
class Uploads:
    """Stores files at fal and in the storage, if there is one, and keeps their facts by URL."""

    fal: FalClient
    files: UploadedFileStore
    kept: "KeptUploads | None" = None
    converter: PictureConverter = field(default_factory=PictureConverter)

    async def accept(self, caller: Caller, content: bytes, *, sha256: str | None = None) -> AcceptedImage:
        """The image as Kling reads it: JPEG, PNG and WebP unchanged, other pictures converted.

        Raises:
            Unprocessable: it is no image, or one that Kling would refuse.
            Unavailable: it has to be converted, and too many pictures are being converted.
        """
        kind = convertible(content)
        if kind is None:
            try:
                facts = await asyncio.to_thread(inspect, content, sha256=sha256)
            except AnimatedImage as animated:
                kind = animated.content_type
            else:
                check_limits(facts)
                return AcceptedImage(content, facts)
        made = await self.converter.convert(content, content_type=kind, caller=caller.key)
        facts = await asyncio.to_thread(inspect, made.content)
        check_limits(facts)
        return AcceptedImage(made.content, facts, kind)

    async def store(
        self, caller: Caller, content: bytes | BinaryIO, *, sha256: str | None = None
    ) -> StoredImage | StoredMedia:
        """Check a picture (bytes), or a video or sound (an open file), and store it.

        `sha256` is the content's, if known already.

        Raises:
            Unprocessable: it is none, or Kling would refuse it.
            TooLarge: the video or sound is larger than 300 MB.
            UpstreamUnavailable: fal's storage did not take it; nothing changed.
            StorageAway: ours did not; nothing changed.
            Forbidden: `over_storage`, the team's storage limit is reached.
            Unavailable: too many pictures are being converted.
        """
        if isinstance(content, bytes):
            return await self.store_accepted(caller, await self.accept(caller, content, sha256=sha256))
        if sha256 is None:
            sha256 = await asyncio.to_thread(digest_of, content)
        return await self._store_media(caller, content, sha256)

    async def _store_media(self, caller: Caller, file: BinaryIO, sha256: str) -> StoredMedia:
        facts = await asyncio.to_thread(_media_facts, file)
        name = f"{sha256[:16]}.{MEDIA_SUFFIX[facts.type]}"
        record: dict[str, str | int] = {"type": facts.type, "size": facts.size, "sha256": sha256}
        record["kind"] = facts.kind
        known = {"seconds": facts.seconds, "width": facts.width, "height": facts.height}
        record |= {name: str(value) for name, value in known.items() if value is not None}
        url, kept = await self._store(caller, file, name, record)
        return StoredMedia(url, sha256, facts, kept)

    async def store_accepted(self, caller: Caller, accepted: AcceptedImage) -> StoredImage:
        """Store an image that was accepted; raises as `store` does, with nothing changed."""
        facts = accepted.facts
        name = f"{facts.sha256[:16]}.{SUFFIX[facts.format]}"
        record: dict[str, str | int] = {"type": facts.content_type, "size": facts.size, "sha256": facts.sha256}
        record |= {"kind": "image", "width": facts.width, "height": facts.height}
        url, kept = await self._store(caller, accepted.content, name, record)
        return StoredImage(url, facts, accepted.converted_from, kept)

    async def _store(
        self, caller: Caller, content: bytes | BinaryIO, name: str, record: dict[str, str | int]
    ) -> tuple[str, KeptFor | None]:
        """Keep a file and send it to fal, both or none of them; its URL there, and where it is kept."""
        team, content_type = caller.team, str(record["type"])
        record |= {"user": caller.user} if caller.token is None else {"user": caller.user, "token": caller.token}
        if self.kept is None:
            url = await self.fal.upload(content, content_type=content_type, file_name=name)
            await self._remember(team, record | {"url": url}, seconds=REMEMBER_S)
            return url, None
        suffix = name.rpartition(".")[2]
        file = await self.kept.write(team, content, content_type=content_type, suffix=suffix)
        try:
            url = await self.fal.upload(content, content_type=content_type, file_name=name)
            kept = KeptFor(file.name, await self.kept.keep(file))
            await self._remember(team, record | {"url": url, "kept": kept.name}, seconds=kept.seconds)
        except BaseException:
            await self.kept.drop_quietly([file.name])
            raise
        return url, kept

    async def _remember(
        self, team: str, record: Mapping[str, str | int], *, seconds: int, listed: bool = True
    ) -> None:
        digest = _digest(str(record["url"]))
        await self.files.remember(team, digest, record, seconds=max(REMEMBER_S, seconds), listed=listed)

    async def send_again(self, team: str, url: str) -> str:
        """Send a kept file to fal once more, whose copy may be gone; the new URL.

        Raises:
            NotFound: it is not kept any more.
            UpstreamUnavailable: fal's storage did not take it.
            StorageAway: it cannot be read now.
        """
        record = await self.files.find(team, _digest(url))
        if self.kept is None or record is None or "kept" not in record:
            raise NotFound("The uploaded file is not kept any more; upload it again.")
        name = f"{record['sha256'][:16]}.{record['kept'].rpartition('.')[2]}"
        async with self.kept.copy(record["kept"]) as file:
            fresh = await self.fal.upload(file, content_type=record["type"], file_name=name)
        await self._remember(team, {**record, "url": fresh}, seconds=REMEMBER_S, listed=False)
        return fresh

    async def delete(self, caller: Caller, url: str) -> None:
        """Forget the caller's upload with this URL (fal's), and have the copy that is kept deleted soon.

        With `team:admin` any upload of the team. NotFound when there is none, and when it is another user's.
        """
        record = await self.files.find(caller.team, _digest(url)) if self.is_at_fal(url) else None
        if record is None or not _is_own(caller, record):
            raise NotFound("There is no uploaded file of yours at this address.")
        if self.kept is not None and "kept" in record:
            await self.kept.drop([record["kept"]])
        await self.files.forget(caller.team, _digest(url), user=record.get("user"))

    async def drop(self, kept: Sequence[KeptFor]) -> None:
        """Have kept files deleted soon that nothing names; harmless when the store is away."""
        if self.kept is not None:
            await self.kept.drop_quietly([file.name for file in kept])

    async def kept_names(self, team: str, urls: Iterable[str]) -> list[str]:
        """The names in the storage of those of these URLs that are uploads of the team."""
        if self.kept is None:
            return []
        digests = {_digest(url) for url in urls if self.is_at_fal(url)}
        records = [await self.files.find(team, digest) for digest in digests]
        return [record["kept"] for record in records if record is not None and "kept" in record]

    async def find(self, caller: Caller, url: str) -> dict[str, Any] | None:
        """`StoredImage.view` of the team's upload with this URL; None when it is not one."""
        if not self.is_at_fal(url):
            return None
        record = await self.files.find(caller.team, _digest(url))
        return None if record is None else {name: record[name] for name in SHOWN} | {"size": int(record["size"])}

    async def measured(self, caller: Caller, url: str) -> FileFacts | None:
        """What is known of the team's upload with this URL (fal's); None when it is none, or older than a week."""
        record = await self.files.find(caller.team, _digest(url)) if self.is_at_fal(url) else None
        if record is None:
            return None
        seconds, width, height = (record.get(name) for name in ("seconds", "width", "height"))
        return FileFacts(
            kind=cast("FileKind", record.get("kind", "image")),  # versions before there were others wrote none
            type=record["type"],
            size=int(record["size"]),
            seconds=None if seconds is None else Decimal(seconds),
            width=None if width is None else int(width),
            height=None if height is None else int(height),
        )

    def is_at_fal(self, url: str) -> bool:
        """True for an address where fal may have stored a file."""
        return self.fal.hosts.include(url)


def digest_of(content: bytes | BinaryIO) -> str:
    """SHA-256 of bytes or of a whole file, in hexadecimal. Call it in a thread."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    content.seek(0)
    return hashlib.file_digest(cast("io.BufferedReader", content), "sha256").hexdigest()


def _media_facts(file: BinaryIO) -> FileFacts:
    size = file.seek(0, io.SEEK_END)
    if size > MEDIA_LIMIT:
        raise TooLarge(f"The file is larger than {MEDIA_LIMIT // (1024 * 1024)} MB.")
    file.seek(0)
    found = media_type(file.read(START_BYTES))
    if found is None or found not in MEDIA_SUFFIX:
        raise Unprocessable("This is no video or sound that can be read.")
    measures = measure(file, found)
    if is_cut_off(file, found):
        raise Unprocessable("This file is cut off: it has fewer bytes than its header says.")
    if found == "video/mp4" and measures.width is None:
        found = "audio/mp4"  # the same container with sound alone
    kind: FileKind = "video" if found.startswith("video/") else "audio"
    return FileFacts(kind, found, size, measures.seconds, measures.width, measures.height)


@contextmanager
def about_field(name: str) -> Iterator[None]:
    """Give an Unprocessable raised in the block a violation of this input field."""
    try:
        yield
    except Unprocessable as error:
        bounds = BOUNDS.get(error.code, {})
        found = Violation(f"/input/{name}", error.code, error.message, ctx=bounds)
        raise Unprocessable(error.message, code=error.code, violations=(found,)) from None


def _is_own(caller: Caller, record: dict[str, str]) -> bool:
    """Versions before did not write whose file it is: it is the team's."""
    if caller.token is not None:
        return record.get("token") == caller.token
    return caller.acts_for_team or record.get("user") == caller.user


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
