"""Uploaded pictures: checked before anything is bought, made a JPEG or PNG if need be, and stored at fal."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from app.domain.accounts import Caller
from app.domain.errors import Unprocessable, Violation
from app.domain.files import FileFacts, FileKind
from app.fal.client import FalClient
from app.media.conversion import PictureConverter, convertible
from app.media.images import MIN_SIDE, AnimatedImage, ImageFacts, check_limits, inspect
from app.store.accounts import AccountStore

FILE_LIMIT = 30 * 1024 * 1024  # bytes; the most that Kling reads
REMEMBER_S = 7 * 86_400  # fal keeps uploads at least as long
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}
SHOWN = ("type", "size", "sha256", "url")  # of an uploaded image in a job
BOUNDS = {"image_too_small": {"min_height": MIN_SIDE, "min_width": MIN_SIDE}}  # as fal's errors have it


@dataclass(frozen=True, slots=True)
class AcceptedImage:
    """An image as it will be stored; `converted_from` is the media type that it had, None when it is unchanged."""

    content: bytes
    facts: ImageFacts
    converted_from: str | None = None


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that fal can read at `url`."""

    url: str
    facts: ImageFacts
    converted_from: str | None = None

    def view(self) -> dict[str, Any]:
        """`{type, size, sha256, url}`, as a job shows an uploaded image."""
        return {
            "type": self.facts.content_type,
            "size": self.facts.size,
            "sha256": self.facts.sha256,
            "url": self.url,
        }


@dataclass(frozen=True, slots=True)
class Uploads:
    """Stores images at fal, and keeps their facts by URL."""

    fal: FalClient
    accounts: AccountStore
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

    async def store(self, caller: Caller, content: bytes, *, sha256: str | None = None) -> StoredImage:
        """Check an image, convert it if need be, and store it; `sha256` is the content's, if known already."""
        return await self.store_accepted(caller, await self.accept(caller, content, sha256=sha256))

    async def store_accepted(self, caller: Caller, accepted: AcceptedImage) -> StoredImage:
        """Store an image that was accepted; UpstreamUnavailable, with nothing changed, when storing fails."""
        facts = accepted.facts
        name = f"{facts.sha256[:16]}.{SUFFIX[facts.format]}"
        url = await self.fal.upload(accepted.content, content_type=facts.content_type, file_name=name)
        image = StoredImage(url, facts, accepted.converted_from)
        record = image.view() | {"kind": "image", "width": facts.width, "height": facts.height}
        await self.accounts.remember_file(caller.team, _digest(url), record, seconds=REMEMBER_S)
        return image

    async def find(self, caller: Caller, url: str) -> dict[str, Any] | None:
        """`StoredImage.view` of the team's upload with this URL; None when it is not one."""
        if not self.is_at_fal(url):
            return None
        record = await self.accounts.file(caller.team, _digest(url))
        return None if record is None else {name: record[name] for name in SHOWN} | {"size": int(record["size"])}

    async def measured(self, caller: Caller, url: str) -> FileFacts | None:
        """What is known of the team's upload with this URL (fal's); None when it is none, or older than a week."""
        record = await self.accounts.file(caller.team, _digest(url)) if self.is_at_fal(url) else None
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


@contextmanager
def about_field(name: str) -> Iterator[None]:
    """Give an Unprocessable raised in the block a violation of this input field."""
    try:
        yield
    except Unprocessable as error:
        bounds = BOUNDS.get(error.code, {})
        found = Violation(f"/input/{name}", error.code, error.message, ctx=bounds)
        raise Unprocessable(error.message, code=error.code, violations=(found,)) from None


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
