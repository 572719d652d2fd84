"""Pictures of every kind that is converted, made with real encoders; and files that only claim to be one."""

import io
import struct

import pillow_heif
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

pillow_heif.register_heif_opener()

RED, BLUE = (220, 30, 20), (20, 40, 210)
TURNED = 6  # EXIF: displayed a quarter turn clockwise
POSITION = b"50.0875N"  # of the photographer, in the EXIF data


def scene(size: tuple[int, int] = (640, 480), mode: str = "RGB") -> Image.Image:
    """Red, with the quarter at the upper left blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    """A file of Pillow's format `kind`."""
    stream = io.BytesIO()
    (image or scene()).save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int = TURNED) -> bytes:
    """EXIF data with an orientation and a position."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.ImageDescription] = POSITION.decode()
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (50.0, 5.0, 15.0)
    return tags.tobytes()


def deep_tiff() -> bytes:
    """A grey TIFF with 16 bits a pixel, dark, with the quarter at the upper left light, and an orientation."""
    light, dark = struct.pack("<H", 0xC0FF), struct.pack("<H", 0x20FF)
    rows = (light * 320 + dark * 320) * 240 + dark * 640 * 240
    image = Image.frombytes("I;16", (640, 480), rows)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ExifTags.Base.Orientation] = TURNED
    return encoded("TIFF", image, tiffinfo=tags)


def deep_tiff_of_the_other_order() -> bytes:
    """The same, big-endian."""
    little = deep_tiff()
    with Image.open(io.BytesIO(little)) as image:
        pixels = image.tobytes()  # upright already
        size = image.size
    swapped = bytearray(len(pixels))
    swapped[0::2], swapped[1::2] = pixels[1::2], pixels[0::2]
    entries = [(256, size[0]), (257, size[1]), (258, 16), (259, 1), (262, 1), (273, 256), (277, 1), (278, size[1])]
    head = b"MM\0*" + struct.pack(">IH", 8, len(entries) + 1)
    head += b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    head += struct.pack(">HHII", 279, 4, 1, len(swapped)) + bytes(4)
    return head.ljust(256, b"\0") + bytes(swapped)


def raw_file() -> bytes:
    """What a camera writes: a TIFF whose first picture is a preview."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    return encoded("TIFF", tiffinfo=tags)


def display_p3() -> bytes:
    """A profile of phones' usual colour space: the matrix of Display P3, with a plain curve."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {
        b"rXYZ": (0.5151, 0.2412, -0.0011),
        b"gXYZ": (0.2920, 0.6922, 0.0419),
        b"bXYZ": (0.1571, 0.0666, 0.7841),
    }
    for name, values in columns.items():
        at = profile.index(name, 128)
        offset = struct.unpack_from(">I", profile, at + 4)[0]
        struct.pack_into(">3i", profile, offset + 8, *(round(value * 65536) for value in values))
    return bytes(profile)


def moving(kind: str) -> bytes:
    """An animation whose first frame is the scene."""
    return encoded(kind, save_all=True, append_images=[Image.new("RGB", (640, 480), "white")], duration=100)


def claiming(kind: str, side: int) -> bytes:
    """A small valid file of this kind, except that its header claims `side` pixels a side."""
    content = bytearray(encoded(kind))
    match kind:
        case "GIF":
            content[6:10] = struct.pack("<HH", side, side)
        case "BMP":
            content[18:26] = struct.pack("<ii", side, side)
        case "TIFF":
            ifd = struct.unpack_from("<I", content, 4)[0]
            for tag in range(struct.unpack_from("<H", content, ifd)[0]):
                at = ifd + 2 + 12 * tag
                if struct.unpack_from("<H", content, at)[0] in {256, 257}:
                    struct.pack_into("<HII", content, at + 2, 4, 1, side)
        case _:  # HEIF and AVIF: the property with the size
            at = content.index(b"ispe") + 8
            content[at : at + 8] = struct.pack(">II", side, side)
    return bytes(content)
