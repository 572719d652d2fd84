"""Makes replies: checks the input, fetches the picture, renders the clip in a thread."""

import asyncio
import base64
import binascii
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import httpx

from app.emulator import prices, validation
from app.emulator.files import Files, StoredFile
from app.emulator.generation import Generation, prompt_of
from app.emulator.images import SAMPLE_CLIP, UnreadablePicture, can_encode
from app.emulator.replies import EXPIRED, INTERNAL, ModelFault, Reply

PICTURE_LIMIT = 30 * 2**20
FETCH_SECONDS = 20
MAX_PENDING_CLIPS = 20  # beyond it clips are still pictures, which take a tenth of the time


class PictureNotLoaded(Exception):
    """The caller's picture could not be fetched or read."""


class Renderer:
    """Makes replies; renders one clip at a time, and each picture and length only once."""

    def __init__(self, *, files: Files, plain: bool, no_clips: bool) -> None:
        self._files = files
        self._plain = plain
        self._no_clips = no_clips or not can_encode
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="film")
        self._clips: dict[str, asyncio.Task[Path]] = {}
        self._pending = 0
        self._sample_file: StoredFile | None = None

    @cached_property
    def _web(self) -> httpx.AsyncClient:
        """Made with the first picture: it reads the trusted certificates."""
        return httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=True, trust_env=False)

    async def close(self) -> None:
        """Stops fetching and rendering."""
        if "_web" in vars(self):
            await self._web.aclose()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def produce(self, generation: Generation) -> Reply:
        """The reply of the result URL to this request."""
        plan, payload = generation.plan, generation.payload
        if plan.fault is not None:
            return plan.fault.reply(payload)
        refusal = validation.refusal_of(generation.endpoint, payload, strict=plan.strict_fields)
        if refusal is not None:
            return refusal
        try:
            video = await self._video(generation)
        except PictureNotLoaded:
            return _image_error(generation)
        return _success(generation, video)

    async def _video(self, generation: Generation) -> dict[str, Any]:
        """The `video` object of a success, its URL without the host."""
        if self._no_clips:
            self._sample_file = self._sample_file or self._adopt(SAMPLE_CLIP)
            return _video_object(self._sample_file)
        seconds = prices.seconds_of(generation.payload)
        source = validation.image_source(generation.endpoint, generation.payload)
        if source is None:
            picture, digest = await self._in_thread(partial(_title_card, generation.payload))
        else:
            content = await self._load(source)
            digest = hashlib.sha256(content).hexdigest()
            picture = None if self._key(digest, seconds) in self._clips else await self._read(content)
        return _video_object(self._adopt(await self._filmed(self._key(digest, seconds), picture, seconds)))

    def _adopt(self, path: Path) -> StoredFile:
        return self._files.adopt(path, "output.mp4", "video/mp4")

    async def _filmed(self, key: str, picture: Any, seconds: int) -> Path:
        """The clip of this picture and length, rendered on first use."""
        if key not in self._clips and picture is not None:
            self._clips[key] = asyncio.ensure_future(self._film(key, picture, seconds))
        # Shielded: a request that is cancelled must not take the clip away from the others.
        return await asyncio.shield(self._clips[key])

    async def _film(self, key: str, picture: Any, seconds: int) -> Path:
        target = self._files.root / f"clip-{key}.mp4"
        if target.exists():  # from before a restart
            return target
        unfinished = target.with_suffix(".unfinished")
        still = self._plain or self._pending > MAX_PENDING_CLIPS
        self._pending += 1
        try:
            await self._in_thread(partial(_film, picture, seconds, unfinished, still=still))
        except BaseException:
            self._clips.pop(key, None)
            raise
        finally:
            self._pending -= 1
        return unfinished.replace(target)

    async def _load(self, source: str) -> bytes:
        """The bytes behind a URL or data URI, at most 30 MB within 20 s. Raises PictureNotLoaded."""
        if source.startswith("data:"):
            return _data_uri(source)
        content = bytearray()
        try:
            async with asyncio.timeout(FETCH_SECONDS), self._web.stream("GET", source) as answer:
                if not answer.is_success:
                    raise PictureNotLoaded(f"{answer.status_code} from the picture's host")
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > PICTURE_LIMIT:
                        raise PictureNotLoaded("the picture is larger than 30 MB")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise PictureNotLoaded(str(error)) from error
        return bytes(content)

    async def _read(self, content: bytes) -> Any:
        try:
            picture = await self._in_thread(partial(_read_picture, content))
        except UnreadablePicture as error:
            raise PictureNotLoaded(str(error)) from error
        return picture

    async def _in_thread(self, work: partial[Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @staticmethod
    def _key(digest: str, seconds: int) -> str:
        return f"{digest}-{seconds}"


# Pictures are Pillow's images. It and the video library take 13 MB, so they are loaded with the first picture.
def _read_picture(content: bytes) -> Any:
    from app.emulator.clip import read_picture  # noqa: PLC0415  see above

    return read_picture(content)


def _film(picture: Any, seconds: int, target: Path, *, still: bool) -> None:
    from app.emulator.clip import film  # noqa: PLC0415  see above

    film(picture, seconds, target, still=still)


def _title_card(payload: Any) -> tuple[Any, str]:
    from app.emulator.clip import title_card  # noqa: PLC0415  see above

    prompt, ratio = prompt_of(payload), str(payload.get("aspect_ratio", "16:9"))
    return title_card(prompt, ratio), hashlib.sha256(f"{ratio}\n{prompt}".encode()).hexdigest()


def _data_uri(source: str) -> bytes:
    head, comma, body = source.partition(",")
    if not comma or len(body) > 2 * PICTURE_LIMIT:
        raise PictureNotLoaded("a data URI without a comma, or larger than 30 MB")
    try:
        raw = unquote_to_bytes(body)
        return base64.b64decode(raw, validate=True) if head.endswith(";base64") else raw
    except binascii.Error as error:
        raise PictureNotLoaded("a data URI that is not base64") from error


def _video_object(file: StoredFile) -> dict[str, Any]:
    return {
        "url": file.path,
        "content_type": file.content_type,
        "file_name": file.name,
        "file_size": file.body.stat().st_size,
    }


def _image_error(generation: Generation) -> Reply:
    rules = validation.rules_for(generation.endpoint)
    field = rules.image_field if rules else "image_url"
    return ModelFault(422, "image_load_error", "Image load error", field).reply(generation.payload)


def _success(generation: Generation, video: dict[str, Any]) -> Reply:
    """The reply with a clip, changed by the scenario; its URL is made absolute here."""
    plan = generation.plan
    video = {**video, "url": generation.base + video["url"]}
    if plan.result == "no_url":
        del video["url"]
    elif plan.result == "foreign_url":
        video["url"] = "https://files.evil.example/output.mp4"
    elif plan.result.startswith("media_"):
        video["url"] = f"{generation.base}/emulator/{plan.result}/output.mp4"
    units = str(prices.seconds_of(generation.payload))
    error = "Internal server error" if plan.error_beside_success else None
    headers = {"X-Fal-Billable-Units": units}
    return Reply(200, {"video": video}, headers, error=error, error_type=plan.error_beside_success or None)


def result_reply(generation: Generation, reply: Reply) -> Reply:
    """The response of the result URL: the reply, unless the scenario hides a success."""
    if reply.status == 200:  # noqa: PLR2004  # HTTP OK
        if generation.plan.result == "expired":
            return EXPIRED
        if generation.plan.result == "unavailable":
            return INTERNAL.reply(None)
    return reply
