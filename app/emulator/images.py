"""Pictures that the emulator draws itself: the sample image and the title card of a text-to-video clip."""

import io
import math
import textwrap

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

SAMPLE_SIZE = (1280, 720)
CARD_SIZES = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)}
DUSK = ((24, 32, 72), (92, 62, 120), (226, 112, 98), (255, 196, 118))
HILLS = ((86, 60, 98), (58, 44, 82), (34, 30, 60))

Colour = tuple[int, int, int]


def sample_jpeg() -> bytes:
    """A landscape at dusk, 1280x720: sky, sun, its light on a lake, three rows of hills."""
    picture = landscape(SAMPLE_SIZE)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


def landscape(size: tuple[int, int]) -> Image.Image:
    """The same scene in any size."""
    width, height = size
    picture = _gradient(size, DUSK)
    sun = Image.new("RGB", size)
    centre, radius = (width * 0.62, height * 0.5), height * 0.085
    draw = ImageDraw.Draw(sun)
    draw.circle(centre, radius * 2.4, fill=(120, 66, 26))
    sun = sun.filter(ImageFilter.GaussianBlur(height * 0.07))
    ImageDraw.Draw(sun).circle(centre, radius, fill=(255, 214, 150))
    picture = ImageChops.screen(picture, sun.filter(ImageFilter.GaussianBlur(height * 0.003)))
    draw = ImageDraw.Draw(picture)
    for row, colour in enumerate(HILLS):
        base, swing = height * (0.64 + 0.07 * row), height * (0.07 - 0.012 * row)
        line = [(x, base - swing * _ridge(x / width, row)) for x in range(0, width + 8, 8)]
        draw.polygon([(0, height), *line, (width + 8, height)], fill=colour)
    _lake(picture, centre[0])
    return picture


def title_card(prompt: str, aspect_ratio: str) -> Image.Image:
    """The landscape with the prompt on it, for endpoints that take no picture."""
    size = CARD_SIZES.get(aspect_ratio, CARD_SIZES["16:9"])
    card = Image.blend(landscape(size), Image.new("RGB", size, (12, 14, 34)), 0.45)
    text = textwrap.fill(textwrap.shorten(prompt, 180, placeholder=" …") or "Untitled", 28)
    font = ImageFont.load_default(size[0] / 24)
    middle = (size[0] / 2, size[1] / 2)
    ImageDraw.Draw(card).multiline_text(middle, text, (255, 244, 224), font, anchor="mm", align="center")
    return card


def _gradient(size: tuple[int, int], stops: tuple[Colour, ...]) -> Image.Image:
    column = Image.new("RGB", (1, len(stops)))
    column.putdata(stops)
    return column.resize((size[0], round(size[1] * 0.72)), Image.Resampling.BICUBIC).crop((0, 0, *size))


def _ridge(x: float, row: int) -> float:
    waves = ((1.3, 0.9), (2.9, 0.5), (7.1, 0.16))
    return sum(weight * math.sin(2 * math.pi * (turns + row * 0.37) * x + row * 2.1) for turns, weight in waves)


def _lake(picture: Image.Image, sun_x: float) -> None:
    """The lowest part is water: the mirrored sky, darker, with the sun's light on it in strokes."""
    width, height = picture.size
    shore = round(height * 0.84)
    sky = picture.crop((0, shore - 2 * (height - shore), width, shore)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    water = sky.resize((width, height - shore)).filter(ImageFilter.GaussianBlur(6))
    picture.paste(Image.blend(water, Image.new("RGB", water.size, (30, 40, 84)), 0.5), (0, shore))
    draw = ImageDraw.Draw(picture)
    for step in range(9):
        y = shore + (height - shore) * (step + 0.6) / 9.5
        reach = width * (0.012 + 0.008 * step) * (1 + 0.5 * math.sin(step * 2.3))
        drift = width * 0.008 * math.sin(step * 1.7)
        box = (sun_x + drift - reach, y, sun_x + drift + reach, y + height * 0.005)
        draw.rounded_rectangle(box, radius=3, fill=(246, 190, 138))
