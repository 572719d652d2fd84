"""The files that the emulator brings: a picture, and a clip for when none can be made."""

from importlib.util import find_spec
from pathlib import Path

SAMPLE_IMAGE = Path(__file__).with_name("sample.jpg")  # a lake at dusk, 1280x720
SAMPLE_CLIP = Path(__file__).with_name("sample.mp4")
can_encode = find_spec("av") is not None  # without the video library every result is SAMPLE_CLIP


class UnreadablePicture(ValueError):
    """Bytes that are no picture."""
