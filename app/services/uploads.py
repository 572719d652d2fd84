"""Uploaded images: checked before anything is bought, and stored at fal."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.domain.accounts import Caller
from app.domain.errors import Unprocessable, Violation
from app.fal.client import FalClient
from app.media.images import MIN_SIDE, ImageFacts, check_limits, inspect
from app.store.accounts import AccountStore

FILE_LIMIT = 30 * 1024 * 1024  # bytes; the most that Kling reads
REMEMBER_S = 7 * 86_400  # fal keeps uploads at least as long
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}
BOUNDS = {"image_too_small": {"min_height": MIN_SIDE, "min_width": MIN_SIDE}}  # as fal's errors have it


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that fal can read at `url`."""

    url: str
    facts: ImageFacts

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

    async def check(self, content: bytes, *, sha256: str | None = None) -> ImageFacts:
        """The image's facts; Unprocessable when it is no image, or one that Kling would refuse."""
        facts = await asyncio.to_thread(inspect, content, sha256=sha256)
        check_limits(facts)
        return facts

    async def store(self, caller: Caller, content: bytes) -> StoredImage:
        """Check an image and store it."""
        return await self.store_checked(caller, content, await self.check(content))

    async def store_checked(self, caller: Caller, content: bytes, facts: ImageFacts) -> StoredImage:
        """Store an image that was checked; UpstreamUnavailable, with nothing changed, when storing fails."""
        name = f"{facts.sha256[:16]}.{SUFFIX[facts.format]}"
        url = await self.fal.upload(content, content_type=facts.content_type, file_name=name)
        image = StoredImage(url, facts)
        await self.accounts.remember_file(caller.team, _digest(url), image.view(), seconds=REMEMBER_S)
        return image

    async def find(self, caller: Caller, url: str) -> dict[str, Any] | None:
        """`StoredImage.view` of the team's upload with this URL; None when it is not one."""
        if not self.is_at_fal(url):
            return None
        record = await self.accounts.file(caller.team, _digest(url))
        return None if record is None else {**record, "size": int(record["size"])}

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
