"""The process that decodes a picture: what it is told, what it may do, and what a file is by its first bytes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.media import apart
from app.media.apart import PROGRAM
from app.media.conversion import MAX_PIXELS, PictureConverter, convertible
from app.media.kinds import media_type
from tests.support.pictures import encoded, scene

LIMITS = {
    "format": "BMP",
    "pixels": MAX_PIXELS,
    "side": 4096,
    "bytes": 10_000_000,
    "memory": 1_000 * 1024 * 1024,
    "seconds": 15,
    "nice": 0,
}


def ran(content: bytes, **limits: object) -> tuple[dict[str, object], bytes]:
    """What the process answers with these limits."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-I", PROGRAM, json.dumps(LIMITS | limits)],
        input=content,
        capture_output=True,
        env={},
        check=True,
    )
    head, _, made = done.stdout.partition(b"\n")
    return json.loads(head), made


def test_more_memory_than_allowed_is_refused_and_no_crash() -> None:
    """36 MB of pixels in a process that may have little: it says so."""
    head, made = ran(encoded("BMP", scene((4000, 3000))), memory=60 * 1024 * 1024)
    assert (head["refused"], made) == ("too_much_memory", b"")


def test_a_result_that_is_too_large_is_made_smaller() -> None:
    """By a lower quality first, then by fewer pixels; a transparent one by fewer pixels only."""
    content = encoded("BMP", Image.effect_noise((1200, 900), 90))
    usual, usual_made = ran(content)
    lower, lower_made = ran(content, bytes=len(usual_made) - 1)
    fewer, fewer_made = ran(content, bytes=1, side=1200)
    assert (usual["width"], lower["width"], fewer["width"]) == (1200, 1200, 600)
    assert len(fewer_made) < len(lower_made) < len(usual_made)
    glass = encoded("TIFF", Image.effect_noise((800, 600), 90).convert("RGBA").rotate(9))
    assert [ran(glass, format="TIFF", bytes=most, side=800)[0]["width"] for most in (9_000_000, 1)] == [800, 400]


@pytest.mark.anyio
async def test_the_process_has_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment it gets the way to an interpreter and nothing else."""
    telling = tmp_path / "telling.py"
    telling.write_text(
        "import json, os, sys\nsys.stdin.buffer.read()\n"
        "print(json.dumps({'type': ' '.join(os.environ), 'width': 1, 'height': 1}))"
    )
    monkeypatch.setattr(apart, "PROGRAM", telling)
    monkeypatch.setenv("FAL_KEY", "id:secret")
    told = await PictureConverter().convert(b"x", content_type="image/gif", caller="me")
    assert set(told.content_type.split()) <= {*apart.KEPT_ENVIRONMENT, "MALLOC_ARENA_MAX", "LC_CTYPE"}


@pytest.mark.anyio
async def test_an_output_without_an_end_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed: what it may use of its own memory, it cannot make us use."""
    endless = tmp_path / "endless.py"
    endless.write_text("import sys\nwhile True:\n    sys.stdout.buffer.write(bytes(100_000))\n")
    monkeypatch.setattr(apart, "PROGRAM", endless)
    monkeypatch.setattr(apart, "MOST_BYTES", 1_000_000)
    status, answer = await apart.run_apart(bytes(10_000_000), {})
    assert (status, answer) == (-9, b"")


def test_the_process_limits_itself() -> None:
    """Memory, processor time, files, and no dump of a picture when it crashes."""
    code = (
        "import runpy, sys, os, resource\n"
        f"program = runpy.run_path({str(PROGRAM)!r})\n"
        "program['confine'](memory=1 << 30, seconds=5)\n"
        "print([resource.getrlimit(limit) for limit in "
        "(resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)])\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], env={}, capture_output=True, text=True, check=True)  # noqa: S603
    limits = [(1 << 30, 1 << 30), (5, 5), (0, 0), (0, 0)]
    assert done.stdout.endswith(f"{limits}\n"), done.stdout


def test_greys_and_palettes_and_lab_have_a_colour_space() -> None:
    """Every mode that Pillow reads from a TIFF comes out as the colour that it went in."""
    for mode in ("1", "P", "LA", "LAB", "CMYK"):
        image = Image.new("LAB", (400, 400), (255, 128, 128)) if mode == "LAB" else Image.new(mode, (400, 400))
        head, made = ran(encoded("TIFF", image), format="TIFF")
        with Image.open(io.BytesIO(made)) as found:
            assert found.mode == ("RGB" if head["type"] == "image/jpeg" else "RGBA"), mode
            white = mode in {"LAB", "CMYK"}
            assert all(abs(value - 255 * white) < 6 for value in found.convert("RGB").getpixel((9, 9))), mode  # type: ignore[union-attr]


KINDS = {"HEIF": "image/heic", "AVIF": "image/avif", "GIF": "image/gif", "BMP": "image/bmp", "TIFF": "image/tiff"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_recognised_by_its_bytes(kind: str) -> None:
    """A real encoder's file; a text that begins alike is none."""
    assert convertible(encoded(kind)) == KINDS[kind]


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", "image/heif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"BMW is a car, and no bitmap", None),
        (b"\0\0\0\x18ftyp", None),
        (b"", None),
    ],
)
def test_brands_and_signatures_decide(start: bytes, found: str | None) -> None:
    """Also when the main brand is only the container's."""
    assert media_type(start) == found
