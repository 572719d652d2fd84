"""Images are checked by their header, before anything is bought."""

import contextlib
import hashlib
import io
import struct
import subprocess
import sys
import time
import zlib

import pytest
from PIL import ExifTags, Image

from app.domain.errors import Unprocessable
from app.media.images import MAX_PIXELS, ImageFacts, check_limits, inspect
from app.media.kinds import START_BYTES
from tests.support.memory import forget_peak, peak_kb


def encoded(kind: str, size: tuple[int, int] = (640, 480), mode: str = "RGB", **options: object) -> bytes:
    """An image of one colour."""
    stream = io.BytesIO()
    Image.new(mode, size, 70).save(stream, kind, **options)
    return stream.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    """A 640 by 480 image with an EXIF orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(kind, exif=exif)


def animated(kind: str) -> bytes:
    """Two different frames."""
    frames = [Image.new("RGB", (400, 400), colour) for colour in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    return stream.getvalue()


def png_bomb(side: int) -> bytes:
    """A PNG whose header says `side` by `side` pixels, with compressed zeros for its first rows."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def webp_bomb(side: int) -> bytes:
    """A real small WebP whose container claims a canvas of `side` by `side` pixels."""
    picture = encoded("WEBP", (16, 16))[12:]
    canvas = struct.pack("<I", 0) + struct.pack("<I", side - 1)[:3] * 2
    chunks = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + picture
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def lossless_webp(side: int) -> bytes:
    """A WebP of `side` by `side` pixels with a valid header."""
    picture = b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + bytes(21)
    chunks = b"WEBPVP8L" + struct.pack("<I", len(picture)) + picture
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def refusal(content: bytes) -> Unprocessable:
    """The error that refuses an image."""
    with pytest.raises(Unprocessable) as caught:
        inspect(content)
    assert caught.value.status == 422
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_are_read_from_their_bytes(kind: str) -> None:
    """Format, type, size and digest are read from the content."""
    content = encoded(kind)
    name = kind.lower()
    digest = hashlib.sha256(content).hexdigest()
    assert inspect(content) == ImageFacts(name, f"image/{name}", 640, 480, digest, len(content))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_jpeg_of_another_colour_space_is_measured_like_any(mode: str) -> None:
    """CMYK and greyscale are accepted."""
    assert inspect(encoded("JPEG", mode=mode)).width == 640


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_measured_as_it_is_displayed(kind: str, orientation: int) -> None:
    """EXIF orientations 5 to 8 swap the sides."""
    facts = inspect(turned(kind, orientation))
    assert (facts.width, facts.height) == ((480, 640) if orientation >= 5 else (640, 480))


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x05\0", b""])
def test_broken_exif_is_no_reason_to_refuse(exif: bytes) -> None:
    """Viewers ignore it, and so does the check."""
    assert inspect(encoded("JPEG", exif=b"Exif\0\0" + exif)).width == 640


def test_a_phone_picture_with_a_second_one_behind_it_is_a_jpeg() -> None:
    """MPO is a JPEG with more after its end; the first image is displayed."""
    first, second = Image.new("RGB", (640, 480)), Image.new("RGB", (320, 240))
    stream = io.BytesIO()
    first.save(stream, "MPO", save_all=True, append_images=[second])
    facts = inspect(stream.getvalue())
    assert (facts.format, facts.width, facts.height) == ("jpeg", 640, 480)


def photographed(*segments: bytes) -> bytes:
    """A JPEG with these segments before all others."""
    content = encoded("JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_a_photograph_keeps_its_metadata() -> None:
    """Hundreds of full segments (depth maps, profiles) with an orientation between them: measured as displayed."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    full = segment(0xE1, b"http://ns.adobe.com/xmp/extension/" + bytes(65_000))
    facts = inspect(
        photographed(segment(0xE0, b"JFIF"), *[full] * 200, segment(0xE1, exif.tobytes()), *[full] * 200)
    )
    assert (facts.format, facts.width, facts.height) == ("jpeg", 480, 640)


def png_of(*chunks: bytes) -> bytes:
    """A PNG with these chunks before its pixels."""
    content = encoded("PNG")
    return content[:33] + b"".join(chunks) + content[33:]


def test_a_png_keeps_its_metadata() -> None:
    """Texts and profiles of megabytes are skipped."""
    assert inspect(png_of(*[chunk(b"tEXt", b"a\0" + bytes(60_000))] * 200)).width == 640


DEAR = {
    "JPEG of empty segments": photographed(segment(0xE5, b"") * 7_200_000),
    "JPEG of padding": photographed(b"\xff" * 29_000_000),
    "JPEG of tables": photographed(segment(0xDB, bytes(65) * 1000) * 440),
    "JPEG of EXIF data": photographed(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 440),
    "JPEG of junk": photographed(segment(0xE0, b"JFIF"), b"\x00\xff\x00" * 9_600_000),
    "PNG of chunks": png_of(chunk(b"prVt") * 2_400_000),
    "PNG of palettes": png_of(chunk(b"PLTE", bytes(768)) * 37_000),
    "WebP of chunks": b"RIFF" + struct.pack("<I", 28_800_004) + b"WEBP" + b"junk\0\0\0\0" * 3_600_000,
}


LONG = {
    "JPEG that does not end": encoded("JPEG")[:-2] + b"\xff" * 29_000_000,
    "PNG that does not end": encoded("PNG")[:-8] + b"IEN" * 9_600_000,
    "white space": b"\r\n" * 14_500_000,
}


@pytest.mark.parametrize("case", [*DEAR, *LONG])
def test_no_header_is_dear_to_read(case: str) -> None:
    """More segments than any photograph has cost milliseconds; best of three, as other processes run too."""
    spent, content = [], {**DEAR, **LONG}[case]
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(Unprocessable):
            inspect(content)
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.05, spent


@pytest.mark.parametrize("case", sorted(DEAR.keys() - {"JPEG of EXIF data"}))
def test_a_header_of_too_many_parts_is_refused_as_what_it_is(case: str) -> None:
    """The answer says what to do."""
    error = refusal(DEAR[case])
    assert (error.code, "without metadata" in error.message) == ("unsupported_image", True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bytes_after_the_end_change_nothing(kind: str) -> None:
    """A polyglot is what its first bytes are: it is served with the detected type."""
    facts = inspect(encoded(kind) + b"<html><script>alert(1)</script>" + b"PK\x03\x04")
    assert facts.content_type == f"image/{kind.lower()}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_image_is_refused(kind: str, keep: float) -> None:
    """However little is missing."""
    thumbnail = Image.Exif()
    thumbnail[ExifTags.Base.ImageDescription] = "\xff\xd9"  # an end marker that is not the end
    content = encoded(kind, exif=thumbnail, size=(1280, 960))
    assert refusal(content[: max(1, int(len(content) * keep))]).code == "not_an_image"


def test_what_is_no_image_loads_no_reader_of_other_kinds() -> None:
    """Pillow's other readers would cost the first request 0.1 s, and are more attack surface."""
    code = (
        "import contextlib, sys; from app.media.images import inspect\n"
        "with contextlib.suppress(Exception): inspect(b'hello')\n"
        "sys.exit('PIL.IcoImagePlugin' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own interpreter


def test_another_kind_is_recognised_by_its_first_kilobyte() -> None:
    """White space before an SVG is skipped up to a limit."""
    codes = [refusal(b" " * before + b"<svg></svg>").code for before in (START_BYTES - 4, START_BYTES)]
    assert codes == ["unsupported_image", "not_an_image"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"hello", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8\xff\xd9", b"%PDF-1.7"],
)
def test_bytes_that_are_no_image_are_refused(content: bytes) -> None:
    """Even if they begin like one."""
    assert refusal(content).code == "not_an_image"


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"><script>alert(1)</script></svg>',
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        encoded("GIF"),
        encoded("BMP"),
        encoded("TIFF"),
        encoded("ICO", (256, 256)),
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
        animated("GIF"),
        animated("PNG"),
        animated("WEBP"),
    ],
    ids=["svg", "svg-xxe", "gif", "bmp", "tiff", "ico", "heic", "avif", "gif-moving", "apng", "webp-moving"],
)
def test_other_kinds_and_moving_ones_are_refused(content: bytes) -> None:
    """Only still JPEG, PNG and WebP are accepted; the sentence does not repeat the content."""
    error = refusal(content)
    assert error.code == "unsupported_image"
    assert "svg" not in error.message.lower()


@pytest.mark.parametrize(
    "content", [png_bomb(30_000), webp_bomb(16_383), png_bomb(11_000)], ids=["png", "webp", "just"]
)
def test_a_bomb_is_refused_by_its_header_alone(content: bytes) -> None:
    """30,000 by 30,000 pixels in 50 KB cost no memory."""
    assert len(content) < 100_000
    before = forget_peak()
    assert refusal(content).code == "image_too_large"
    assert peak_kb() - before < 5_000  # KB


@pytest.mark.parametrize("content", [png_bomb(10_900), lossless_webp(10_900)], ids=["png", "webp"])
def test_the_largest_allowed_header_costs_no_memory(content: bytes) -> None:
    """Just under the limit: the pixels would fill 360 MB, and none is decoded."""
    assert MAX_PIXELS > 10_900**2
    before = forget_peak()
    assert inspect(content).width == 10_900
    assert peak_kb() - before < 20_000  # KB


def facts(width: int, height: int, size: int = 1000) -> ImageFacts:
    """The facts that `inspect` returns."""
    return ImageFacts("png", "image/png", width, height, "0" * 64, size)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (facts(300, 300), None),
        (facts(400, 1000), None),
        (facts(1000, 400), None),
        (facts(16_384, 9_216), None),
        (facts(300, 300, 30_000_000), None),
        (facts(1, 1), "image_too_small"),
        (facts(299, 500), "image_too_small"),
        (facts(500, 299), "image_too_small"),
        (facts(399, 1000), "image_ratio"),
        (facts(1001, 400), "image_ratio"),
        (facts(16_385, 9_216), "image_too_large"),
        (facts(300, 300, 30_000_001), "image_too_large"),
    ],
)
def test_limits_hold_at_their_edges(image: ImageFacts, code: str | None) -> None:
    """The limit itself is allowed."""
    if code is None:
        check_limits(image)
        return
    with pytest.raises(Unprocessable) as caught:
        check_limits(image)
    assert caught.value.code == code
