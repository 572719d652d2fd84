"""Pictures that the emulator provides: the sample image and the title card of a text-to-video clip."""

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

SAMPLE_IMAGE = Path(__file__).with_name("sample.jpg")  # a lake at dusk, 1280x720
CARD_SIZES = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)}


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
