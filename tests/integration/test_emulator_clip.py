"""The clip is a real video: of the caller's image, of the requested length, playable everywhere."""

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import av
import pytest
from PIL import Image, ImageStat

from tests.support.clips import clip as made
from tests.support.emulator import Emulator, FalCaller, running_emulator
from tests.support.receiver import Receiver, Reply

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def fal() -> AsyncIterator[Emulator]:
    """An emulator that renders clips."""
    async with running_emulator("--speed", "20") as emulator:
        yield emulator


def _picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def _data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


async def _clip(caller: FalCaller, **options: Any) -> bytes:
    answer = await caller.result(await caller.submit(options.pop("prompt", "a lake"), **options))
    assert answer.status_code == 200, answer.text
    video = answer.json()["video"]
    content = (await caller.web.get(video["url"])).content
    assert len(content) == video["file_size"]
    return content


def _measure(clip: bytes) -> tuple[str, str, int, int, float, int]:
    """Codec, pixel format, width, height, seconds, frames, by decoding the whole clip."""
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        frames = len(list(container.decode(stream)))
        assert container.duration is not None
        context = stream.codec_context
        return context.name, str(context.pix_fmt), stream.width, stream.height, container.duration / 1e6, frames


async def test_an_edit_is_as_long_as_its_video_and_shows_it(caller: FalCaller) -> None:
    """The first frame of the given video, for the time that its container says."""
    source = f"data:video/mp4;base64,{base64.b64encode(made('mp4', seconds=4.04, size=(160, 120))).decode()}"
    model = "fal-ai/kling-video/o3/pro/video-to-video/edit"
    clip = await _clip(caller, model=model, image_url=None, video_url=source)
    codec, _, width, height, seconds, _ = _measure(clip)
    assert (codec, width, height) == ("h264", 640, 480)
    assert seconds == pytest.approx(4.04, abs=1 / 24)
    with av.open(io.BytesIO(clip), "r") as container:
        shown = next(container.decode(video=0)).to_image()  # type: ignore[no-untyped-call]  # PyAV has no type for it
    red, green, _ = ImageStat.Stat(shown).mean
    assert green - red > 100  # of bytes that are all zero


@pytest.mark.parametrize("seconds", [5, 10])
async def test_a_clip_is_as_long_as_asked(caller: FalCaller, seconds: int) -> None:
    """H.264, yuv420p, 24 frames a second, 640 pixels on the long side."""
    clip = await _clip(caller, duration=str(seconds))
    assert _measure(clip) == ("h264", "yuv420p", 640, 360, seconds, seconds * 24)


async def test_a_clip_can_be_played_from_its_beginning(caller: FalCaller) -> None:
    """The index precedes the frames (+faststart)."""
    clip = await _clip(caller)
    assert 0 < clip.index(b"moov") < clip.index(b"mdat")


@pytest.mark.parametrize(
    ("size", "expected"), [((900, 1600), (360, 640)), ((500, 333), (640, 426)), ((7, 7), (640, 640))]
)
async def test_a_clip_keeps_the_pictures_proportions(
    caller: FalCaller, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    """Upright, odd, tiny: the sides are even and the long side is 640. Data URIs are accepted."""
    _, _, width, height, _, _ = _measure(await _clip(caller, image_url=_data_uri(_picture(size))))
    assert (width, height) == expected


async def test_a_clip_shows_the_callers_picture_and_moves(caller: FalCaller) -> None:
    """The first frame looks like the image, the last one is zoomed in."""
    picture = Image.open(io.BytesIO((await caller.web.get("/sample.jpg")).content)).convert("RGB")
    with av.open(io.BytesIO(await _clip(caller)), "r") as container:
        frames = [frame.to_image().convert("RGB") for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]  # PyAV has no type for it
    first, last = frames[0], frames[-1]
    wanted = ImageStat.Stat(picture.resize(first.size)).mean
    assert all(abs(a - b) < 4 for a, b in zip(ImageStat.Stat(first).mean, wanted, strict=True))
    assert ImageStat.Stat(Image.blend(first, last, 0.5)).var != ImageStat.Stat(first).var


async def test_the_same_picture_is_filmed_once(caller: FalCaller) -> None:
    """Each request has its own file URL; the bytes are the same, and the second clip is there at once."""
    uri = _data_uri(_picture((640, 480)))
    one, two = await _clip(caller, image_url=uri), await _clip(caller, image_url=uri)
    assert one == two


@pytest.mark.parametrize(
    "answer", [Reply(404), Reply(200, body=b"no picture"), Reply(200, body=_picture((640, 360))[:400])]
)
async def test_a_picture_that_cannot_be_loaded_is_the_models_422(caller: FalCaller, answer: Reply) -> None:
    """Missing, not an image, truncated: image_load_error in the result, and nothing is charged."""
    async with Receiver() as host:
        host.answers([answer])
        reply = await caller.submit(image_url=f"{host.url}/x.png")
        result = await caller.result(reply)
    entry = result.json()["detail"][0]
    assert result.status_code == 422
    assert (entry["type"], entry["loc"]) == ("image_load_error", ["body", "image_url"])


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:1/x.png", "nonsense", "data:image/png;base64,###", "file:///etc/passwd"]
)
async def test_an_address_without_a_picture_is_the_models_422(caller: FalCaller, source: str) -> None:
    """No server, no URL at all, broken base64, a local file."""
    result = await caller.result(await caller.submit(image_url=source))
    assert result.json()["detail"][0]["type"] == "image_load_error"


async def test_text_to_video_films_a_title_card(caller: FalCaller) -> None:
    """In the requested aspect ratio."""
    model = "fal-ai/kling-video/v2/master/text-to-video"
    clip = await _clip(caller, prompt="A boat", model=model, image_url=None, aspect_ratio="9:16")
    assert _measure(clip)[2:5] == (360, 640, 5)


async def test_plain_clips_stand_still() -> None:
    """The same length and size at a tenth of the CPU time."""
    async with running_emulator("--plain-clips", "--speed", "20") as fal, FalCaller(fal.url) as caller:
        assert _measure(await _clip(caller))[2:] == (640, 360, 5, 120)


async def test_without_clips_no_picture_is_fetched() -> None:
    """The result is the shipped clip, whatever the image's URL."""
    async with running_emulator("--no-clips", "--speed", "20") as fal, FalCaller(fal.url) as caller:
        clip = await _clip(caller, image_url="http://127.0.0.1:1/x.png")
        assert _measure(clip)[:5] == ("h264", "yuv420p", 640, 360, 5)
        assert len(clip) < 60_000


async def test_the_sample_image_is_a_picture(caller: FalCaller) -> None:
    """Large enough for every Kling model, and not a single colour."""
    answer = await caller.web.get("/sample.jpg")
    picture = Image.open(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "image/jpeg"
    assert picture.size >= (640, 360)
    assert min(ImageStat.Stat(picture).stddev) > 15
