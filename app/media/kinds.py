"""What a file is, by its first bytes: never by its name, nor by what its sender declares."""

import re

START_BYTES = 1024  # that are searched for a signature

STORED = frozenset({"image/jpeg", "image/png", "image/webp"})  # pictures that are stored as they are
CONVERTED = frozenset({"image/heic", "image/heif", "image/avif", "image/gif", "image/bmp", "image/tiff"})

_FTYP = slice(4, 8)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (
        re.compile(rb"BM.{12}[\x0c\x28-\x7c]\0\0\0", re.DOTALL),
        "image/bmp",
    ),  # the length of its header's second part
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "image/tiff"),
    (
        re.compile(rb".{4}(?:moov|mdat|wide|pnot)", re.DOTALL),
        "video/quicktime",
    ),  # before there was a list of brands
    (re.compile(rb"\x1a\x45\xdf\xa3.{0,40}\x42\x82.webm", re.DOTALL), "video/webm"),
    (re.compile(rb"RIFF.{4}WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"ID3[\x02-\x04]"), "audio/mpeg"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "audio/aac"),
    (re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "audio/mpeg"),
    (re.compile(rb"OggS"), "audio/ogg"),
    (re.compile(rb"fLaC"), "audio/flac"),
)
_OTHER_PICTURES = re.compile(
    rb"\x00\x00\x01\x00|\xff\x0a|\0\0\0\x0cJXL |\0\0\0\x0cjP  |8BPS|\s*<(?:svg|\?xml|!--)", re.IGNORECASE
)


def media_type(start: bytes) -> str | None:
    """The media type of a file that begins so, None when it is none of those below; 1 KB is enough to tell."""
    for signature, found in _SIGNATURES:
        if signature.match(start):
            return found
    return _iso_type(start) if start[_FTYP] == b"ftyp" else None


def is_media(content_type: str | None) -> bool:
    """True for a video or a sound."""
    return content_type is not None and not content_type.startswith("image/")


def is_other_picture(start: bytes) -> bool:
    """True for the beginning of a picture of a kind that nothing here reads: SVG, ICO, JPEG XL, PSD."""
    return _OTHER_PICTURES.match(start, 0, START_BYTES) is not None


def _iso_type(start: bytes) -> str | None:
    """The type of a file in ISO's container by its brands: the main one, then those it is compatible with."""
    end = min(int.from_bytes(start[:4], "big"), START_BYTES)
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in _HEIC_BRANDS:
        return "image/heic"
    if brands[0] in _AVIF_BRANDS or (brands[0] in _HEIF_BRANDS and not _AVIF_BRANDS.isdisjoint(brands)):
        return "image/avif"
    if brands[0] in _HEIF_BRANDS:
        return "image/heif"
    if brands[0] == b"qt  ":
        return "video/quicktime"
    if brands[0] in _SOUND_BRANDS:
        return "audio/mp4"
    return "video/mp4" if brands[0] else None
