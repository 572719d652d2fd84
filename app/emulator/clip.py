"""Makes a clip from a picture: a slow zoom as an H.264 MP4. Loaded with the first picture."""

import io
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.emulator.images import SAMPLE_IMAGE, UnreadablePicture

CARD_SIZES = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)}
LONG_SIDE = 640
FPS = 24
ZOOM = 0.12
SOURCE_SIDE = round(LONG_SIDE * (1 + ZOOM))  # sharp at the closest frame; more would only cost time
MAX_SECONDS = 60
ENCODER_OPTIONS = {"preset": "ultrafast", "crf": "30"}

Size = tuple[int, int]


def clip_size(width: int, height: int) -> Size:
    """640 pixels on the long side, in the picture's proportion; even, because yuv420p needs that."""
    scale = LONG_SIDE / max(width, height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def read_picture(content: bytes) -> Image.Image:
    """The picture in RGB, no larger than a clip needs. Raises UnreadablePicture."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            opened.draft("RGB", (SOURCE_SIDE, SOURCE_SIDE))
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadablePicture(str(error)) from error
    picture.thumbnail((SOURCE_SIDE, SOURCE_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return picture


def title_card(prompt: str, aspect_ratio: str) -> Image.Image:
    """The sample image with the prompt on it, for endpoints without an image."""
    size = CARD_SIZES.get(aspect_ratio, CARD_SIZES["16:9"])
    with Image.open(SAMPLE_IMAGE) as sample:
        card = Image.blend(ImageOps.fit(sample, size), Image.new("RGB", size, (12, 14, 34)), 0.45)
    text = textwrap.fill(textwrap.shorten(prompt, 180, placeholder=" …") or "Untitled", 28)
    font = ImageFont.load_default(size[0] / 24)
    center = (size[0] / 2, size[1] / 2)
    ImageDraw.Draw(card).multiline_text(center, text, (255, 244, 224), font, anchor="mm", align="center")
    return card


def film(
    picture: Image.Image,
    seconds: float,
    target: Path,
    *,
    still: bool = False,
    encoder: dict[str, str] | None = None,
) -> None:
    """Writes `seconds` of a slow zoom into `picture` as an MP4 at `target`.

    A `still` clip repeats one frame: a tenth of the work, the same size and length.
    """
    size = clip_size(*picture.size)
    # Headers first in the file (+faststart), so that a player may begin before it has all of it.
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=ENCODER_OPTIONS if encoder is None else encoder)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, FPS)
        stream.codec_context.thread_count = 1
        count = round(min(seconds, MAX_SECONDS) * FPS)
        for number, frame in enumerate(_frames(picture, size, 1 if still else count)):
            for moment in range(count) if still else (number,):
                frame.pts = moment
                frame.time_base = Fraction(1, FPS)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(picture: Image.Image, size: Size, count: int) -> Iterator["av.VideoFrame"]:
    """The frames of the zoom, from the whole picture to 12 % closer."""
    width, height = picture.size
    for number in range(count):
        closer = ZOOM * number / max(count - 1, 1)
        margin_x, margin_y = width * closer / 2, height * closer / 2
        box = (margin_x, margin_y, width - margin_x, height - margin_y)
        image = picture.resize(size, Image.Resampling.BILINEAR, box=box)
        frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # PyAV has no type for it
        yield frame.reformat(format="yuv420p")
