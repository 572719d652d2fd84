"""The caller's pictures, videos and sounds: fetched, measured, and refused as the model refuses them."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httpx

from app.emulator.bills import DEFAULT_SECONDS
from app.emulator.images import can_encode
from app.emulator.replies import ModelFault, Reply

if TYPE_CHECKING:
    from app.emulator.kling.parts import Input, MediaLimits

MEGABYTE = 2**20
PICTURE_LIMIT, MEDIA_LIMIT = 30 * MEGABYTE, 300 * MEGABYTE
PICTURE_SECONDS, MEDIA_SECONDS = 20, 30  # to fetch one
LEEWAY = Decimal("0.05")  # seconds that a container may be longer than a limit, as fal's 10.05 and 30.05 are

InThread = Callable[[partial[Any]], Awaitable[Any]]


class MaterialRefused(Exception):
    """A file could not be fetched or read, or is outside of the model's limits; `reply` is the model's answer."""

    def __init__(self, fault: ModelFault, payload: Any) -> None:
        super().__init__(fault.message)
        self.reply: Reply = fault.reply(payload)


@dataclass(frozen=True, slots=True)
class Media:
    """A fetched video or sound: the field that named it, its file, the hash of its bytes, its length."""

    field: str
    path: Path
    digest: str
    seconds: Decimal


class MaterialSource:
    """Fetches what inputs name. Videos and sounds are kept in `folder` under the hash of their bytes."""

    def __init__(self, folder: Path, in_thread: InThread) -> None:
        self._folder = folder
        self._in_thread = in_thread
        self._serial = 0

    @cached_property
    def _web(self) -> httpx.AsyncClient:
        """Made with the first file: it reads the trusted certificates."""
        return httpx.AsyncClient(timeout=MEDIA_SECONDS, follow_redirects=True, trust_env=False)

    async def close(self) -> None:
        """Stops fetching."""
        if "_web" in vars(self):
            await self._web.aclose()

    async def picture(self, field: str, url: str, payload: Any) -> bytes:
        """The bytes of a picture, at most 30 MB."""
        content = bytearray()
        try:
            async for chunk in self._chunks(url, PICTURE_LIMIT, PICTURE_SECONDS):
                content += chunk
        except (_NotFetched, _TooLarge):
            raise MaterialRefused(image_error(field), payload) from None
        return bytes(content)

    async def media(self, given: "Input", payload: Any) -> list[Media]:
        """The videos and sounds of an input, within the model's limits."""
        named = [(field, given.value(field)) for field in given.media_fields()]
        named += [("video_urls", url) for url in given.videos]
        return [await self._media(field, url, given, payload) for field, url in named if url]

    async def _media(self, field: str, url: str, given: "Input", payload: Any) -> Media:
        limits = given.limits(field)
        most = int(limits.megabytes * MEGABYTE) if limits and limits.megabytes else MEDIA_LIMIT
        try:
            path, digest = await self._fetched(url, most)
        except _NotFetched:
            fault = ModelFault(422, "file_download_error", "Failed to download the file", field)
            raise MaterialRefused(fault, payload) from None
        except _TooLarge:
            fault = ModelFault(422, "file_too_large", "File too large", field, {"max_size": most})
            raise MaterialRefused(fault, payload) from None
        kind = "audio" if field in {"audio_url", "voice_url"} else "video"
        seconds = await self._length(path)
        if seconds is None:
            message = f"Unsupported {kind} format"
            raise MaterialRefused(ModelFault(422, f"unsupported_{kind}_format", message, field), payload)
        self._check_length(kind, field, seconds, limits, given.longest(field), payload)
        return Media(field, path, digest, seconds)

    def _check_length(
        self, kind: str, field: str, seconds: Decimal, limits: "MediaLimits | None", longest: float, payload: Any
    ) -> None:
        shortest = limits.seconds[0] if limits else 0
        if longest and seconds > Decimal(str(longest)) + LEEWAY:
            context = {"max_duration": longest, "provided_duration": float(seconds)}
            fault = ModelFault(422, f"{kind}_duration_too_long", f"{kind.title()} is too long", field, context)
            raise MaterialRefused(fault, payload)
        if seconds + LEEWAY < Decimal(str(shortest)):
            context = {"min_duration": shortest, "provided_duration": float(seconds)}
            fault = ModelFault(422, f"{kind}_duration_too_short", f"{kind.title()} is too short", field, context)
            raise MaterialRefused(fault, payload)

    async def _length(self, path: Path) -> Decimal | None:
        """Seconds of a video or sound; None for another file. Without the video library nothing is measured."""
        if not can_encode:
            return DEFAULT_SECONDS
        found: Decimal | None = await self._in_thread(partial(_length_of, path))
        return found

    async def _fetched(self, url: str, most: int) -> tuple[Path, str]:
        self._serial += 1
        arriving = self._folder / f"arriving-{self._serial}"
        digest = hashlib.sha256()
        try:
            with arriving.open("wb") as file:
                async for chunk in self._chunks(url, most, MEDIA_SECONDS):
                    digest.update(chunk)
                    file.write(chunk)
            return arriving.replace(self._folder / f"input-{digest.hexdigest()}"), digest.hexdigest()
        finally:
            arriving.unlink(missing_ok=True)

    async def _chunks(self, url: str, most: int, seconds: float) -> AsyncIterator[bytes]:
        """The bytes behind a URL or data URI, at most `most` of them within so many seconds."""
        if url.startswith("data:"):
            yield _data_uri(url, most)
            return
        size = 0
        try:
            async with asyncio.timeout(seconds), self._web.stream("GET", url) as answer:
                if not answer.is_success:
                    raise _NotFetched
                async for chunk in answer.aiter_bytes():
                    size += len(chunk)
                    if size > most:
                        raise _TooLarge
                    yield chunk
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _NotFetched from error


class _NotFetched(Exception):
    pass


class _TooLarge(Exception):
    pass


def image_error(field: str) -> ModelFault:
    """The model's answer to a picture that it cannot load."""
    return ModelFault(422, "image_load_error", "Image load error", field)


def _data_uri(source: str, most: int) -> bytes:
    head, comma, body = source.partition(",")
    if not comma:
        raise _NotFetched
    if len(body) > 2 * most:
        raise _TooLarge
    try:
        raw = unquote_to_bytes(body)
        return base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw
    except binascii.Error as error:
        raise _NotFetched from error


# The video library takes 13 MB, so it is loaded with the first file.
def _length_of(path: Path) -> Decimal | None:
    from app.emulator.probe import length_of  # noqa: PLC0415  see above

    return length_of(path)
