"""Makes replies: checks the input, fetches what it names, renders clips and sounds in a thread."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.emulator.bills import DEFAULT_SECONDS, Bill, bill_of
from app.emulator.catalog import FalModels
from app.emulator.files import Files, StoredFile
from app.emulator.generation import Generation, prompt_of
from app.emulator.images import SAMPLE_CLIP, UnreadablePicture, can_encode
from app.emulator.material import MaterialRefused, MaterialSource, Media, image_error
from app.emulator.replies import EXPIRED, INTERNAL, Reply
from app.emulator.validation import InputRefused, read_input

if TYPE_CHECKING:
    from app.emulator.kling.models import KlingModel
    from app.emulator.kling.parts import Input

MAX_PENDING_CLIPS = 20  # beyond it clips are still pictures, which take a tenth of the time


class Renderer:
    """Makes replies; renders one clip at a time, and each picture and length only once."""

    def __init__(self, *, models: FalModels, files: Files, plain: bool, no_clips: bool) -> None:
        self._models = models
        self._files = files
        self._plain = plain
        self._no_clips = no_clips or not can_encode
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="film")
        self._material = MaterialSource(files.root, self._in_thread)
        self._made: dict[str, asyncio.Task[Path]] = {}
        self._pending = 0
        self._sample_file: StoredFile | None = None

    async def close(self) -> None:
        """Stops fetching and rendering."""
        await self._material.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def produce(self, generation: Generation) -> Reply:
        """The reply of the result URL to this request; a bill for it is left at the generation."""
        plan, payload = generation.plan, generation.payload
        if plan.fault is not None and not plan.charged:
            return plan.fault.reply(payload)
        model = self._models.find(generation.endpoint)
        if model is None or model.tariff is None:  # gone since the submit
            return INTERNAL.reply(payload)
        try:
            given = read_input(model, payload, strict=plan.strict_fields)
            media = await self._material.media(given, payload)
            billed = [one.seconds for one in media if one.field == (model.follows or "video_urls")]
            generation.bill = bill_of(model, given, sum(billed, Decimal()))
            if plan.fault is not None:
                return plan.fault.reply(payload)
            output = await self._output(model, given, media, generation)
        except (InputRefused, MaterialRefused) as refused:
            return refused.reply if plan.fault is None else plan.fault.reply(payload)
        return _success(generation, output)

    def estimate(self, generation: Generation) -> Bill:
        """The bill of a request that was not produced: as asked, with inputs of five seconds."""
        model = self._models.find(generation.endpoint)
        if model is None or model.tariff is None:
            return Bill(0, DEFAULT_SECONDS, Decimal(), 1)
        try:
            return bill_of(model, read_input(model, generation.payload, strict=False), DEFAULT_SECONDS)
        except InputRefused:
            price = model.tariff.unit_micro
            return Bill(int(DEFAULT_SECONDS) * price, DEFAULT_SECONDS, Decimal(), price)

    async def _output(
        self, model: "KlingModel", given: "Input", media: list[Media], generation: Generation
    ) -> dict[str, Any]:
        """The members of the model's output; URLs without the host."""
        assert generation.bill is not None  # made just before  # noqa: S101
        seconds = generation.bill.seconds
        output: dict[str, Any] = {}
        for member in model.output.model_fields:
            if member == "video":
                output[member] = _file_object(await self._video(given, media, seconds, generation.payload))
            elif member == "audio":
                sound = await self._filmed(f"hum-{seconds:f}.wav", partial(_hum, seconds))
                output[member] = _file_object(self._files.adopt(sound, "output.wav", "audio/wav"))
            elif member == "duration":
                output[member] = float(seconds)
            else:
                output[member] = str(int(media[0].digest[:16], 16))
        return output

    async def _video(self, given: "Input", media: list[Media], seconds: Decimal, payload: Any) -> StoredFile:
        if self._no_clips:
            self._sample_file = self._sample_file or self._adopt(SAMPLE_CLIP)
            return self._sample_file
        field, url = given.first_picture()
        video = next((one for one in media if one.field.startswith("video")), None)
        if url is not None:
            content = await self._material.picture(field, url, payload)
            name = self._name(hashlib.sha256(content).hexdigest(), seconds)
            picture = None if name in self._made else await self._read(content, field, payload)
        elif video is not None:
            name = self._name(video.digest, seconds)
            picture = None if name in self._made else await self._in_thread(partial(_first_frame, video.path))
        else:
            picture, digest = await self._in_thread(partial(_title_card, payload))
            name = self._name(digest, seconds)
        still = self._plain or self._pending > MAX_PENDING_CLIPS
        return self._adopt(await self._filmed(name, partial(_film, picture, float(seconds), still=still)))

    def _adopt(self, path: Path) -> StoredFile:
        return self._files.adopt(path, "output.mp4", "video/mp4")

    async def _filmed(self, name: str, make: partial[Any]) -> Path:
        """The clip or sound of this name, made on first use."""
        if name not in self._made:
            self._made[name] = asyncio.ensure_future(self._make(name, make))
        # Shielded: a request that is cancelled must not take the clip away from the others.
        return await asyncio.shield(self._made[name])

    async def _make(self, name: str, make: partial[Any]) -> Path:
        target = self._files.root / name
        if target.exists():  # from before a restart
            return target
        unfinished = target.with_suffix(".unfinished")
        self._pending += 1
        try:
            await self._in_thread(partial(make, unfinished))
        except BaseException:
            self._made.pop(name, None)
            raise
        finally:
            self._pending -= 1
        return unfinished.replace(target)

    async def _read(self, content: bytes, field: str, payload: Any) -> Any:
        try:
            picture = await self._in_thread(partial(_read_picture, content))
        except UnreadablePicture:
            raise MaterialRefused(image_error(field), payload) from None
        return picture

    async def _in_thread(self, work: partial[Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    @staticmethod
    def _name(digest: str, seconds: Decimal) -> str:
        return f"clip-{digest}-{seconds.normalize():f}.mp4"


# Pictures are Pillow's images. It and the video library take 13 MB, so they are loaded with the first picture.
def _read_picture(content: bytes) -> Any:
    from app.emulator.clip import read_picture  # noqa: PLC0415  see above

    return read_picture(content)


def _first_frame(path: Path) -> Any:
    from app.emulator.clip import title_card  # noqa: PLC0415  see above
    from app.emulator.probe import first_frame  # noqa: PLC0415  see above

    return first_frame(path) or title_card("", "")


def _film(picture: Any, seconds: float, target: Path, *, still: bool) -> None:
    from app.emulator.clip import film  # noqa: PLC0415  see above

    film(picture, seconds, target, still=still)


def _hum(seconds: Decimal, target: Path) -> None:
    from app.emulator.sound import hum  # noqa: PLC0415  with the first sound

    hum(seconds, target)


def _title_card(payload: Any) -> tuple[Any, str]:
    from app.emulator.clip import title_card  # noqa: PLC0415  see above

    prompt, ratio = prompt_of(payload), str(payload.get("aspect_ratio", "16:9"))
    return title_card(prompt, ratio), hashlib.sha256(f"{ratio}\n{prompt}".encode()).hexdigest()


def _file_object(file: StoredFile) -> dict[str, Any]:
    return {
        "url": file.path,
        "content_type": file.content_type,
        "file_name": file.name,
        "file_size": file.body.stat().st_size,
    }


def _success(generation: Generation, output: dict[str, Any]) -> Reply:
    """The reply with the output, changed by the scenario; URLs are made absolute here."""
    plan = generation.plan
    for file in (one for one in output.values() if isinstance(one, dict)):
        file["url"] = generation.base + file["url"]
        if plan.result == "no_url":
            del file["url"]
        elif plan.result == "foreign_url":
            file["url"] = "https://files.evil.example/output.mp4"
        elif plan.result.startswith("media_"):
            file["url"] = f"{generation.base}/emulator/{plan.result}/output.mp4"
    error = "Internal server error" if plan.error_beside_success else None
    headers = {"X-Fal-Billable-Units": generation.bill.units} if generation.bill else {}
    return Reply(200, output, headers, error=error, error_type=plan.error_beside_success or None)


def result_reply(generation: Generation, reply: Reply) -> Reply:
    """The response of the result URL: the reply, unless the scenario hides a success."""
    if reply.status == 200:  # noqa: PLR2004  # HTTP OK
        if generation.plan.result == "expired":
            return EXPIRED
        if generation.plan.result == "unavailable":
            return INTERNAL.reply(None)
    return reply
