"""Checks images by their headers, before anything is bought.

The type is read from the bytes, never from what the sender declares. No pixels are decoded, and of the metadata
only the orientation is read, so an image that would fill the memory when decoded costs no more than a small one.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Literal, Never, TypeAlias

from PIL import ExifTags, Image, WebPImagePlugin

from app.domain.errors import Code, Unprocessable
from app.media.headers import short_header
from app.media.kinds import CONVERTED, START_BYTES, is_other_picture, media_type

Format: TypeAlias = Literal["jpeg", "png", "webp"]

MAX_BYTES = 30_000_000
MIN_SIDE = 300  # pixels; Kling refuses less
MAX_SIDE = 16_384  # pixels; beyond any camera
MAX_PIXELS = 120_000_000
RATIO = (0.40, 2.50)  # width by height; Kling refuses others
UNREADABLE = (
    "This is no picture, video or sound that can be read. Send a picture as JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP "
    "or TIFF, a video as MP4, MOV or WebM, a sound as MP3, WAV, M4A, AAC, Ogg or FLAC."
)

# Pillow checks this before it allocates a WebP's canvas, and raises above twice as many.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# WebP's reader is imported by name: otherwise Pillow imports all of its readers for the first WebP.
_FORMATS: dict[str | None, Format] = {"JPEG": "jpeg", "PNG": "png", WebPImagePlugin.WebPImageFile.format: "webp"}
_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82", "webp": b""}
_QUARTER_TURNS = range(5, 9)  # values of the EXIF orientation that swap width and height


class AnimatedImage(Unprocessable, code=Code.UNSUPPORTED_IMAGE):
    """A PNG or WebP with several frames."""

    def __init__(self, content_type: str) -> None:
        super().__init__("An animated image is not supported; send a still one.")
        self.content_type = content_type


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The properties of an image: `width` and `height` in pixels as displayed, `size` in bytes."""

    format: Format
    content_type: str
    width: int
    height: int
    sha256: str
    size: int


def inspect(content: bytes, *, sha256: str | None = None) -> ImageFacts:
    """The properties of a JPEG, PNG or WebP as it is displayed (EXIF orientation).

    `sha256` is the content's, if known already: an image is hashed once.

    Raises Unprocessable: `not_an_image` for other bytes or a broken image, `unsupported_image` for another kind
    (SVG, GIF, HEIC, …), an animation (AnimatedImage), or a header of thousands of parts, `image_too_large` above
    120 million pixels. What can be converted is converted before (`app/media/conversion.py`).
    """
    try:
        header = short_header(content)
        stream = io.BytesIO(header.start)
        with warnings.catch_warnings(action="ignore"), Image.open(stream, formats=("JPEG", "PNG", "WEBP")) as image:
            kind = _FORMATS[image.format]
            width, height = image.size
            frames = 1 if kind == "jpeg" else getattr(image, "n_frames", 1)
            quarter_turned = _orientation(image.info.get("exif", b"")) in _QUARTER_TURNS
    except Image.DecompressionBombError:
        _refuse_pixels()
    except Unprocessable:
        raise
    except Exception:  # noqa: BLE001 - hostile bytes: whatever Pillow raises, this is not a valid image
        start = content[:START_BYTES]
        if is_other_picture(start) or media_type(start) in CONVERTED:
            raise Unprocessable(
                "This kind of image is not supported; send a JPEG, a PNG or a WebP.", code=Code.UNSUPPORTED_IMAGE
            ) from None
        raise Unprocessable(UNREADABLE, code=Code.NOT_AN_IMAGE) from None
    if width * height > MAX_PIXELS:
        _refuse_pixels()
    if frames > 1:
        raise AnimatedImage(f"image/{kind}")
    # searched from the end; a WebP declares its length, which Pillow has checked
    if content.rfind(_ENDS[kind], header.end) < 0:
        raise Unprocessable("This image is cut off before its end.", code=Code.NOT_AN_IMAGE)
    if quarter_turned:
        width, height = height, width
    digest = sha256 or hashlib.sha256(content).hexdigest()
    return ImageFacts(kind, f"image/{kind}", width, height, digest, len(content))


def check_limits(facts: ImageFacts) -> None:
    """Refuses what the model would refuse, before it is paid for.

    Raises Unprocessable: `image_too_large` (bytes or pixels), `image_too_small`, `image_ratio`.
    """
    if facts.size > MAX_BYTES:
        raise Unprocessable(
            f"The image has {facts.size} bytes; at most {MAX_BYTES} are allowed.", code=Code.IMAGE_TOO_LARGE
        )
    measured = f"The image is {facts.width} by {facts.height} pixels"
    if max(facts.width, facts.height) > MAX_SIDE:
        raise Unprocessable(f"{measured}; no side may be longer than {MAX_SIDE}.", code=Code.IMAGE_TOO_LARGE)
    if min(facts.width, facts.height) < MIN_SIDE:
        raise Unprocessable(f"{measured}; each side has to be {MIN_SIDE} or more.", code=Code.IMAGE_TOO_SMALL)
    narrowest, widest = RATIO
    if not narrowest <= facts.width / facts.height <= widest:
        raise Unprocessable(
            f"{measured}; width divided by height has to be from {narrowest:.2f} to {widest:.2f}.",
            code=Code.IMAGE_RATIO,
        )


def _refuse_pixels() -> Never:
    raise Unprocessable(
        f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.", code=Code.IMAGE_TOO_LARGE
    ) from None


def _orientation(exif: bytes) -> int | None:
    """The EXIF orientation, 1 to 8; None when there is none. `getexif()` would decode the pixels of a PNG."""
    tags = Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF is common, and viewers ignore it
        return None
    return value if isinstance(value, int) else None
