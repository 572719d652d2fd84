"""Pictures of kinds that Kling does not read: they become a JPEG or PNG at every door."""

import asyncio
import base64
import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from app.domain.errors import Unavailable, Unprocessable
from app.media.conversion import MAX_SIDE, PictureConverter
from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.uploads import IN_PARTS, content_at, cut, initiated, put_parts, uploaded_as, without_key
from tests.support import pictures
from tests.support.pictures import BLUE, POSITION, RED, encoded, scene
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


def turned(kind: str, image: Image.Image | None = None) -> bytes:
    """A file that is displayed a quarter turn clockwise."""
    return encoded(kind, image, exif=pictures.exif())


def transparent() -> Image.Image:
    """A scene with a gradient of transparency."""
    return Image.merge("RGBA", (*scene().split(), Image.linear_gradient("L").resize((640, 480))))


# What makes the file, the type that it had, its size as displayed, the corner that is blue, what it becomes.
GOOD: dict[str, tuple[Callable[[], bytes], str, tuple[int, int], str | None, str]] = {
    "HEIC, turned": (lambda: turned("HEIF"), "image/heic", (480, 640), "upper right", "image/jpeg"),
    "AVIF, turned": (lambda: turned("AVIF"), "image/avif", (480, 640), "upper right", "image/jpeg"),
    "AVIF, transparent": (
        lambda: encoded("AVIF", transparent()),
        "image/avif",
        (640, 480),
        None,
        "image/png",
    ),
    "GIF, moving": (lambda: pictures.moving("GIF"), "image/gif", (640, 480), "upper left", "image/jpeg"),
    "BMP": (lambda: encoded("BMP"), "image/bmp", (640, 480), "upper left", "image/jpeg"),
    "TIFF, CMYK, turned": (
        lambda: turned("TIFF", scene(mode="CMYK")),
        "image/tiff",
        (480, 640),
        "upper right",
        "image/jpeg",
    ),
    "PNG, moving": (lambda: pictures.moving("PNG"), "image/png", (640, 480), "upper left", "image/jpeg"),
    "WebP, moving": (lambda: pictures.moving("WEBP"), "image/webp", (640, 480), "upper left", "image/jpeg"),
    "BMP, wide": (
        lambda: encoded("BMP", scene((5000, 2000))), "image/bmp", (MAX_SIDE, 1639), "upper left", "image/jpeg"
    ),
}  # fmt: skip


def is_close(found: Any, wanted: tuple[int, ...]) -> bool:
    """True when no channel differs by more than an encoder's loss."""
    return all(abs(a - b) < 25 for a, b in zip(found, wanted, strict=True))


def corners(image: Image.Image) -> dict[str, Any]:
    """A pixel of each quarter."""
    xs, ys = (("left", image.width // 5), ("right", image.width * 4 // 5)), (("upper", 1), ("lower", 4))
    return {f"{v} {h}": image.getpixel((x, image.height * fifth // 5)) for h, x in xs for v, fifth in ys}


@pytest.mark.parametrize("case", GOOD)
async def test_a_picture_of_another_kind_is_converted(stack: Stack, case: str) -> None:
    """First frame, upright, in sRGB, without the photographer's position; the reply says what it was."""
    make, kind, size, blue, becomes = GOOD[case]
    content = make()
    reply = await stack.api.post("/v1/files", files={"file": ("IMG_0001.HEIC", content, "text/plain")})
    assert reply.status_code == 201, reply.text
    stored = reply.json()
    assert (stored["converted_from"], stored["type"], (stored["width"], stored["height"])) == (kind, becomes, size)
    made = await content_at(stored["url"])
    assert len(made) == stored["size"]
    with Image.open(io.BytesIO(made)) as image:
        assert (image.get_format_mimetype(), image.size, dict(image.getexif())) == (becomes, size, {})
        if blue is not None:
            for corner, found in corners(image).items():
                assert is_close(found, BLUE if corner == blue else RED), (corner, found)
    assert POSITION not in made


async def test_sixteen_bits_become_eight(stack: Stack) -> None:
    """In both orders of bytes: by the high byte, not cut off at white."""
    for content in (pictures.deep_tiff(), pictures.deep_tiff_of_the_other_order()):
        reply = await stack.api.post("/v1/files", files={"file": ("scan.tif", content)})
        assert reply.status_code == 201, reply.text
        with Image.open(io.BytesIO(await content_at(reply.json()["url"]))) as image:
            light, dark = image.getpixel((470, 10)), image.getpixel((10, 630))
        assert (is_close(light, (0xC0,) * 3), is_close(dark, (0x20,) * 3)) == (True, True), (light, dark)


async def test_a_wider_colour_space_becomes_srgb(stack: Stack) -> None:
    """A phone's Display P3 is converted by its profile: its red is more than sRGB has."""
    content = encoded("HEIF", Image.new("RGB", (640, 480), (200, 60, 60)), icc_profile=pictures.display_p3())
    reply = await stack.api.post("/v1/files", files={"file": ("IMG.HEIC", content)})
    with Image.open(io.BytesIO(await content_at(reply.json()["url"]))) as image:
        assert "icc_profile" not in image.info
        red, green, _ = image.getpixel((9, 9))  # type: ignore[misc]
    assert red > 208, red
    assert green < 52, green


KINDS = ("HEIF", "AVIF", "GIF", "BMP", "TIFF")
BAD = {
    **{f"{kind}, a bomb": (pictures.claiming(kind, 16_000), "image_too_large") for kind in KINDS},
    **{f"{kind}, cut off": (encoded(kind)[:-200], "not_an_image") for kind in KINDS},
    "HEIC, only its name": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not_an_image"),
    "TIFF, 32 bits": (encoded("TIFF", scene(mode="F")), "unsupported_image"),
    "TIFF, a camera's": (pictures.raw_file(), "unsupported_image"),
    "GIF, too small": (encoded("GIF", scene((64, 48))), "image_too_small"),
    "BMP, too wide": (encoded("BMP", scene((1200, 300))), "image_ratio"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_converted_is_refused(stack: Stack, case: str) -> None:
    """422 with a sentence; nothing is stored. A bomb is refused by its header, before memory is taken."""
    content, code = BAD[case]
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/files", files={"file": ("a.heic", content)})
    assert_problem(reply, 422, code)


async def test_fals_uploads_convert_too(stack: Stack) -> None:
    """Whole by a token, at a signed URL and in parts: a header says what it was, and a repeat changes nothing."""
    content = encoded("HEIF", exif=pictures.exif())

    async def assert_stored(reply: httpx.Response, url: str) -> None:
        assert reply.status_code == 200, reply.text
        assert reply.headers["x-filmgate-converted-from"] == "image/heic"
        with Image.open(io.BytesIO(await content_at(url))) as image:
            assert (image.format, image.size) == ("JPEG", (480, 640))

    whole = await uploaded_as(stack.api, content, "image/heic")
    await assert_stored(whole, whole.json()["access_url"])
    async with without_key(stack) as web:
        upload = await initiated(stack.api)
        await assert_stored(
            await web.put(upload["upload_url"], content=content),
            (await stack.api.get(upload["file_url"])).headers["location"],
        )
        again = await web.put(upload["upload_url"], content=content)
        assert (again.status_code, "x-filmgate-converted-from" in again.headers) == (200, False)
        in_parts = await initiated(stack.api, where=IN_PARTS)
        named = await put_parts(web, in_parts["upload_url"], cut(content, 2))
        path, _, query = in_parts["upload_url"].partition("?")
        reply = await web.post(f"{path}/complete?{query}", json={"parts": named})
        await assert_stored(reply, (await stack.api.get(in_parts["file_url"])).headers["location"])


async def test_a_picture_inside_a_job_is_converted(stack: Stack) -> None:
    """A data URI of a HEIC: the job shows the JPEG; a repeat with the same key is the same job."""
    body = stack.body()
    content = base64.b64encode(encoded("HEIF")).decode()
    body["input"]["image_url"] = f"data:image/jpeg;base64,{content}"  # what encoders write that do not know HEIC
    replies = [
        (await stack.api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "photo"})).json() for _ in range(2)
    ]
    shown = replies[0]["input"]["image_url"]
    assert (shown["type"], replies[1]["id"]) == ("image/jpeg", replies[0]["id"])
    assert (await content_at(shown["url"])).startswith(b"\xff\xd8\xff")


async def test_one_caller_does_not_have_every_turn() -> None:
    """One picture of a caller at a time; another caller's goes past those that wait, and too many are refused."""
    photo, small = encoded("AVIF", scene((3000, 2200)), speed=9), encoded("GIF")
    converter = PictureConverter(at_once=2)
    mine = [asyncio.create_task(converter.convert(photo, content_type="image/avif", caller="me")) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="Other pictures"):
        await converter.convert(small, content_type="image/gif", caller="me")
    await converter.convert(small, content_type="image/gif", caller="you")
    assert sum(task.done() for task in mine) <= 2
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    assert (await converter.convert(small, content_type="image/gif", caller="me")).content_type == "image/jpeg"


async def test_a_decoder_that_does_not_end_is_ended() -> None:
    """After its time its process is killed, and the caller is told what to do."""
    converter = PictureConverter(wall_s=0.01)
    with pytest.raises(Unprocessable, match="too long"):
        await converter.convert(encoded("GIF"), content_type="image/gif", caller="me")
