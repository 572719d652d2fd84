"""An image's header without what nobody needs of it, found in a bounded number of steps.

Pillow reads every segment and chunk before the picture in Python, keeps and joins what they hold, and has no bound
on their number. So it is given a short header: what says the size and the orientation. The megabytes of metadata
that real photographs carry are stepped over, 64 KB at a time.
"""

from dataclasses import dataclass

from app.domain.errors import Code, Unprocessable

STEPS = 2000  # segments or chunks; the longest real ones, with depth maps, have some hundreds
KEPT_BYTES = 256 * 1024  # of a header; without metadata it has some KB
EXIF_BYTES = 64 * 1024  # of a PNG's; in a JPEG no segment is longer
PNG_START = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_FILL, _ESCAPE, _APP1, _SCAN = 0xFF, 0x00, 0xE1, 0xDA
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_NEEDLESS = frozenset({*range(0xE0, 0xF0), 0xFE})  # of applications, and comments
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"acTL"})


class BrokenHeader(ValueError):
    """The bytes end in the header, or are no header."""


@dataclass(frozen=True, slots=True)
class Header:
    """What Pillow has to see: `start` is enough of the image to open it; the picture begins at `end`."""

    start: bytes
    end: int


def short_header(content: bytes) -> Header:
    """The header in short; Unprocessable when it is too long to look at, BrokenHeader when it is broken."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(PNG_START):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    return Header(content[:KEPT_BYTES], 0)  # of another kind: Pillow reads none


def _jpeg(content: bytes) -> Header:
    """Segments up to the start of the scan; the first with EXIF data is kept."""
    kept, size, place, has_exif = [content[:2]], 2, 2, False
    for _ in range(STEPS):
        place = content.find(b"\xff", place)  # other bytes between segments are skipped, as every reader does
        if place < 0 or place + 4 > len(content):
            raise BrokenHeader
        marker = content[place + 1]
        if marker == _FILL:
            place += 1
        elif marker == _ESCAPE or marker in _JPEG_BARE:
            place += 2
        else:
            end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
            if end < place + 4 or end > len(content):
                raise BrokenHeader
            is_exif = marker == _APP1 and content.startswith(_EXIF, place + 4)
            if marker not in _JPEG_NEEDLESS or (is_exif and not has_exif):
                has_exif, size = has_exif or is_exif, size + end - place
                _refuse_beyond(size)
                kept.append(content[place:end])
            place = end
            if marker == _SCAN:
                return Header(b"".join(kept), end)
    raise _too_long()


def _png(content: bytes) -> Header:
    """Chunks up to the first with pixels: size, colours, whether it moves, and EXIF data."""
    kept, size, place = [PNG_START], 0, len(PNG_START)
    for _ in range(STEPS):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        if kind == b"IDAT":
            return Header(b"".join([*kept, content[place : place + 8]]), place)
        if end > len(content):
            raise BrokenHeader
        if kind in _PNG_NEEDED or (kind == b"eXIf" and end - place <= EXIF_BYTES):
            size += end - place
            _refuse_beyond(size)
            kept.append(content[place:end])
        place = end
    raise _too_long()


def _webp(content: bytes) -> Header:
    """All chunks are only counted: the library compares their lengths with the file's, so it has to see all."""
    place = 12
    for _ in range(STEPS):
        if place + 8 > len(content):
            return Header(content, place)
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    raise _too_long()


def _refuse_beyond(size: int) -> None:
    if size > KEPT_BYTES:
        raise _too_long()


def _too_long() -> Unprocessable:
    return Unprocessable(
        "The image has too many parts before its picture; save it again without metadata.",
        code=Code.UNSUPPORTED_IMAGE,
    )
