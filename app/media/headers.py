"""An image's header without its metadata, found in a bounded number of steps.

Pillow reads every segment and chunk before the pixels in Python, keeps their contents, and does not limit their
number. So it is given a short header with only size and orientation. The megabytes of metadata in real photographs
are skipped, 64 KB at a time.
"""

from dataclasses import dataclass

from app.domain.errors import Code, Unprocessable

MAX_STEPS = 2000  # segments or chunks; real images, with depth maps, have at most some hundreds
MAX_KEPT_BYTES = 256 * 1024  # of a header, which has some KB without metadata
MAX_EXIF_BYTES = 64 * 1024  # in a PNG; no segment of a JPEG is longer
PNG_START = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_FILL, _ESCAPE, _APP1, _SCAN = 0xFF, 0x00, 0xE1, 0xDA
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_NEEDLESS = frozenset({*range(0xE0, 0xF0), 0xFE})  # application data and comments
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"acTL"})


class BrokenHeader(ValueError):
    """The bytes end within the header, or are not one."""


@dataclass(frozen=True, slots=True)
class Header:
    """`start` is enough of the image for Pillow to open it; the pixels begin at `end`."""

    start: bytes
    end: int


def short_header(content: bytes) -> Header:
    """The shortened header; Unprocessable when it has too many parts, BrokenHeader when it is malformed."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(PNG_START):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    return Header(content[:MAX_KEPT_BYTES], 0)  # another kind, which Pillow refuses


def _jpeg(content: bytes) -> Header:
    """Segments up to the start of the scan; the first with EXIF data is kept."""
    kept, size, offset, has_exif = [content[:2]], 2, 2, False
    for _ in range(MAX_STEPS):
        offset = content.find(b"\xff", offset)  # skips other bytes between segments, as all readers do
        if offset < 0 or offset + 4 > len(content):
            raise BrokenHeader
        marker = content[offset + 1]
        if marker == _FILL:
            offset += 1
        elif marker == _ESCAPE or marker in _JPEG_BARE:
            offset += 2
        else:
            end = offset + 2 + int.from_bytes(content[offset + 2 : offset + 4], "big")
            if end < offset + 4 or end > len(content):
                raise BrokenHeader
            is_exif = marker == _APP1 and content.startswith(_EXIF, offset + 4)
            if marker not in _JPEG_NEEDLESS or (is_exif and not has_exif):
                has_exif, size = has_exif or is_exif, size + end - offset
                _refuse_beyond(size)
                kept.append(content[offset:end])
            offset = end
            if marker == _SCAN:
                return Header(b"".join(kept), end)
    raise _too_long()


def _png(content: bytes) -> Header:
    """Chunks up to the first with pixels: size, colours, animation and EXIF data."""
    kept, size, offset = [PNG_START], 0, len(PNG_START)
    for _ in range(MAX_STEPS):
        end = offset + 12 + int.from_bytes(content[offset : offset + 4], "big")
        kind = content[offset + 4 : offset + 8]
        if kind == b"IDAT":
            return Header(b"".join([*kept, content[offset : offset + 8]]), offset)
        if end > len(content):
            raise BrokenHeader
        if kind in _PNG_NEEDED or (kind == b"eXIf" and end - offset <= MAX_EXIF_BYTES):
            size += end - offset
            _refuse_beyond(size)
            kept.append(content[offset:end])
        offset = end
    raise _too_long()


def _webp(content: bytes) -> Header:
    """Only counts the chunks: the library compares their lengths with the file's, so it needs all of them."""
    offset = 12
    for _ in range(MAX_STEPS):
        if offset + 8 > len(content):
            return Header(content, offset)
        length = int.from_bytes(content[offset + 4 : offset + 8], "little")
        offset += 8 + length + length % 2
    raise _too_long()


def _refuse_beyond(size: int) -> None:
    if size > MAX_KEPT_BYTES:
        raise _too_long()


def _too_long() -> Unprocessable:
    return Unprocessable(
        "The image has too many parts before its picture; save it again without metadata.",
        code=Code.UNSUPPORTED_IMAGE,
    )
