"""The program of the process that decodes one picture, or the first frame of one clip, to a JPEG or PNG.

The file is its input. `app/media/apart.py` starts it, and says there why. It imports nothing of ours and knows no
secret. Before it reads a byte, it limits its own memory and time, and gives up writing files.

Its output is a line of JSON and the picture: `{"type": …, "width": …, "height": …}`, or `{"refused": CODE}` alone.
"""

import io
import json
import os
import resource
import sys
import warnings
from contextlib import suppress
from typing import Any

from PIL import ExifTags, Image, ImageCms

MB = 1024 * 1024
PNG_LEVEL = 6
QUALITY, SMALLER_QUALITY = 92, 80  # of a JPEG: the usual one, and the one for a picture that is too large with it
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DECODERS = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4"}  # FFmpeg's names; it has hundreds
PREVIEW, DNG_VERSION = 254, 50706  # tags of a TIFF: "this is a reduced picture", and a camera's raw file


class RefusedError(Exception):
    """The picture is not converted; the argument is the reason's code."""


def main() -> None:
    """Convert what is on the input, by the limits in the argument (JSON)."""
    limits = json.loads(sys.argv[1])
    os.nice(limits["nice"])
    confine(memory=limits["memory"], seconds=limits["seconds"])
    warnings.simplefilter("ignore")
    try:
        file = sys.stdin.buffer
        head, content = convert(
            first_frame(file, limits) if "clip" in limits else upright(file.read(), limits), limits
        )
    except RefusedError as error:
        head, content = {"refused": str(error)}, b""
    except MemoryError:
        head, content = {"refused": "too_much_memory"}, b""
    except Image.DecompressionBombError:
        head, content = {"refused": "too_many_pixels"}, b""
    except Exception as error:  # noqa: BLE001  hostile bytes: whatever a decoder raises, there is no picture
        head, content = {"refused": "broken", "error": type(error).__name__}, b""
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


def confine(*, memory: int, seconds: int) -> None:
    """Limit this process's memory (bytes) and processor time, and let it write no file."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a system that has no such limit
            resource.setrlimit(what, (most, most))


def convert(picture: Image.Image, limits: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A picture with at most `side` pixels a side, and what it is."""
    picture = without_needless_alpha(picture)
    kind = "png" if picture.mode == "RGBA" else "jpeg"
    encoded = b""
    for side, quality in (
        (limits["side"], QUALITY),
        (limits["side"], SMALLER_QUALITY),
        (limits["side"] // 2, SMALLER_QUALITY),
    ):
        if encoded and kind == "png" and max(picture.size) <= side:
            continue  # its quality has no steps
        picture = within(picture, side)
        stream = io.BytesIO()
        if kind == "png":
            picture.save(stream, "PNG", compress_level=PNG_LEVEL)
        else:
            picture.save(stream, "JPEG", quality=quality)
        encoded = stream.getvalue()
        if len(encoded) <= limits["bytes"]:
            break
    return {"type": f"image/{kind}", "width": picture.width, "height": picture.height}, encoded


def first_frame(file: Any, limits: dict[str, Any]) -> Image.Image:
    """The first frame of a clip in RGB, on one thread; the file is read only as far as that takes."""
    import av  # noqa: PLC0415  only where posters are made

    with av.open(file, "r", format=limits["clip"]) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if context.name not in DECODERS:
            raise RefusedError("codec")
        if context.width * context.height > limits["pixels"]:
            raise RefusedError("too_many_pixels")
        context.options = {"max_pixels": str(limits["pixels"])}  # a frame may say otherwise than the container
        context.thread_count = 1
        picture: Image.Image = next(container.decode(stream)).to_image()
        return picture


def upright(content: bytes, limits: dict[str, Any]) -> Image.Image:
    """The first frame as it is displayed, in RGB or RGBA, without any metadata."""
    if limits["format"] == "HEIF":
        read_heif()
    file = Image.open(io.BytesIO(content), formats=(limits["format"],))
    if file.width * file.height > limits["pixels"]:
        raise RefusedError("too_many_pixels")
    if limits["format"] == "TIFF":
        refuse_raw(file)
    file.load()
    turn = TURNS.get(file.getexif().get(ExifTags.Base.Orientation, 1))
    profile = file.info.get("icc_profile")
    picture = eight_bits(file)
    picture = in_srgb(within(picture, limits["side"]), profile)
    if turn is not None:
        picture = picture.transpose(turn)
    picture.info.clear()  # an encoder would write what it finds there
    return picture


def read_heif() -> None:
    """Let Pillow read HEIF: only the picture itself, on one thread."""
    import pillow_heif  # noqa: PLC0415  takes a while to load, and one kind needs it

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)


def refuse_raw(file: Image.Image) -> None:
    """Refuse a camera's raw file, which looks like a TIFF whose picture is a small preview."""
    tags = getattr(file, "tag_v2", {})
    if DNG_VERSION in tags or tags.get(PREVIEW, 0) & 1:
        raise RefusedError("raw")


def eight_bits(file: Image.Image) -> Image.Image:
    """The picture in a mode with eight bits a channel that can be scaled and has a colour space."""
    mode = file.mode
    if mode in {"RGB", "RGBA", "L", "CMYK", "LAB"}:
        return file
    if mode.startswith("I;16"):
        return high_bytes(file)
    if mode in {"I", "F"}:
        raise RefusedError("too_deep")  # nothing says which value is white
    if mode in {"1", "YCbCr", "HSV"}:
        return file.convert("RGB")
    return file.convert("RGBA")  # palettes, and greys with transparency


def high_bytes(file: Image.Image) -> Image.Image:
    """A picture of 16 bits in eight; Pillow's own conversion cuts off at 255."""
    first = 0 if file.mode == "I;16B" or (file.mode == "I;16N" and sys.byteorder == "big") else 1
    return Image.frombytes("L", file.size, file.tobytes()[first::2])


def in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB by its own profile; without a profile, as if it had been in sRGB."""
    if picture.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    wanted = "RGBA" if picture.mode == "RGBA" else "RGB"
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError):  # broken, or another colour space's: without it
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode=wanted,
            )
            if converted is not None:
                return converted
    return picture if picture.mode == wanted else picture.convert(wanted)


def within(picture: Image.Image, side: int) -> Image.Image:
    """The picture with no side longer than this; the shorter one is rounded up, so that 5:2 stays within 5:2."""
    longest = max(picture.size)
    if longest <= side:
        return picture
    width, height = (-(-length * side // longest) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def without_needless_alpha(picture: Image.Image) -> Image.Image:
    """RGB when no pixel is transparent."""
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        return picture.convert("RGB")
    return picture


if __name__ == "__main__":
    main()
