"""Images in: checked before anything is bought, stored where fal can read them."""

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

FILE_LIMIT = 30 * 1024 * 1024  # bytes; what Kling reads at most
REMEMBER_S = 7 * 86_400  # fal keeps uploads at least as long
SUFFIX = {"jpeg": "jpg", "png": "png", "webp": "webp"}
BOUNDS = {"image_too_small": {"min_height": MIN_SIDE, "min_width": MIN_SIDE}}  # as fal's models say them


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that fal can read at `url`."""

    url: str
    facts: ImageFacts

    def view(self) -> dict[str, Any]:
        """`{type, size, sha256, url}`: how a job shows an uploaded image."""
        return {
            "type": self.facts.content_type,
            "size": self.facts.size,
            "sha256": self.facts.sha256,
            "url": self.url,
        }


class Uploads:
    """Stores images at fal, and remembers what they were."""

    def __init__(self, fal: FalClient, accounts: AccountStore) -> None:
        self._fal = fal
        self._accounts = accounts

    async def check(self, content: bytes, *, sha256: str | None = None) -> ImageFacts:
        """What the image is; Unprocessable when it is none, or one that Kling would refuse."""
        facts = await asyncio.to_thread(inspect, content, sha256=sha256)
        check_limits(facts)
        return facts

    async def store(self, caller: Caller, content: bytes) -> StoredImage:
        """Check an image and store it."""
        return await self.keep(caller, content, await self.check(content))

    async def keep(self, caller: Caller, content: bytes, facts: ImageFacts) -> StoredImage:
        """Store a checked image; UpstreamUnavailable, with nothing changed, when storing fails."""
        name = f"{facts.sha256[:16]}.{SUFFIX[facts.format]}"
        url = await self._fal.upload(content, content_type=facts.content_type, file_name=name)
        image = StoredImage(url, facts)
        await self._accounts.remember_file(caller.team, _digest(url), image.view(), seconds=REMEMBER_S)
        return image

    async def known(self, caller: Caller, url: str) -> dict[str, Any] | None:
        """What the team uploaded at this URL, if it did; other people's URLs cost no look-up."""
        if not self.is_at_fal(url):
            return None
        record = await self._accounts.file(caller.team, _digest(url))
        return None if record is None else {**record, "size": int(record["size"])}

    def is_at_fal(self, url: str) -> bool:
        """True for an address where fal may have stored a file."""
        return self._fal.hosts.include(url)


@contextmanager
def about_field(name: str) -> Iterator[None]:
    """What is refused of an image in the block names this field of the input."""
    try:
        yield
    except Unprocessable as error:
        bounds = BOUNDS.get(error.code, {})
        found = Violation(f"/input/{name}", error.code, error.message, ctx=bounds)
        raise Unprocessable(error.message, code=error.code, violations=(found,)) from None


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
