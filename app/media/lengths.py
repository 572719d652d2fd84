"""How long a video or a sound is, by what its container's header says: nothing is decoded.

Each reader takes a bounded number of steps and reads a few bytes at each, so that a hostile file of 300 MB costs no
more than a real one. A length that the header does not give is None: it is then paid by what fal measures.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import BinaryIO

from app.domain.errors import Unprocessable

MAX_STEPS = 50_000  # boxes, chunks or frames; AAC at 5 MB has some 20,000 frames
TAIL_BYTES = 128 * 1024  # of an Ogg file, whose last page has its length; a page has at most 65 KB
MAX_SECONDS = Decimal(86_400)
UNKNOWN_32, UNKNOWN_64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
PLACEHOLDER_32 = 0x7FFF0000  # of a WAV that was written into a pipe, or more

_MP3_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s of MPEG 1, layer III
_MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG 2 and 2.5
_MP3_HERTZ = (44_100, 48_000, 32_000)
_AAC_HERTZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
_AAC_SAMPLES = 1024
_ISO_TYPES = frozenset({"video/mp4", "video/quicktime", "audio/mp4"})


@dataclass(frozen=True, slots=True)
class Measures:
    """Seconds, and the pixels of the picture as displayed; None where the header does not say."""

    seconds: Decimal | None = None
    width: int | None = None
    height: int | None = None


def measure(file: BinaryIO, content_type: str) -> Measures:
    """The measures of a file of this type; Unprocessable when it is cut off or broken. Call it in a thread."""
    size = file.seek(0, io.SEEK_END)
    try:
        found = _READERS[content_type](file, size)
    except (struct.error, IndexError, ArithmeticError, StopIteration):
        raise _broken() from None
    if found.seconds is not None and not 0 < found.seconds <= MAX_SECONDS:
        return Measures(None, found.width, found.height)
    return found


def is_cut_off(file: BinaryIO, content_type: str) -> bool:
    """True when the container says that it has more bytes than there are. In a thread.

    MP4, MOV, M4A, WAV and most WebM say it. What others append behind the last box is no part of the container.
    """
    size = file.seek(0, io.SEEK_END)
    try:
        if content_type == "audio/wav":
            (length,) = struct.unpack("<I", _at(file, 4, 4))
            return bool(length < PLACEHOLDER_32 and 8 + length > size)
        if content_type == "video/webm":
            elements = _elements(file, 0, size, count())
            return any(last > size for element, _, last in elements if element == _SEGMENT)
        return content_type in _ISO_TYPES and _boxes_end(file, size) > size
    except struct.error:
        return True
    except IndexError:
        return False


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last of the outer boxes ends by its own length."""
    start, steps = 0, count()
    while start + 8 <= size and next(steps) < MAX_STEPS:
        length, kind = struct.unpack(">I4s", _at(file, start, 8))
        if not (kind.isascii() and kind.decode().isprintable()):
            break
        if length == 1:
            (length,) = struct.unpack(">Q", _at(file, start + 8, 8))
        start = max(start + length, start + 8) if length else size
    return start


def _broken() -> Unprocessable:
    return Unprocessable("This file cannot be read: it is cut off, broken, or not what it begins like.")


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _ratio(units: int, per_second: int) -> Decimal:
    return (Decimal(units) / Decimal(per_second)).quantize(Decimal("0.001"))


# --- ISO's container: MP4, MOV, M4A ------------------------------------------------------------------------------


def _boxes(file: BinaryIO, start: int, end: int, steps: Iterator[int]) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: kind, and where the content begins and ends."""
    while start + 8 <= end and next(steps) < MAX_STEPS:
        size, kind = struct.unpack(">I4s", _at(file, start, 8))
        content = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", _at(file, content, 8))
            content += 8
        elif size == 0:
            size = end - start
        if size < content - start:
            raise _broken()
        yield kind, content, min(start + size, end)
        start += size


def _iso(file: BinaryIO, size: int) -> Measures:
    """`mvhd` has the length, `tkhd` of the first track with a picture its size."""
    steps = count()
    movie = next((box for box in _boxes(file, 0, size, steps) if box[0] == b"moov"), None)
    if movie is None:
        raise _broken()
    seconds, width, height, scale = None, None, None, 0
    for kind, start, end in _boxes(file, movie[1], movie[2], steps):
        if kind == b"mvhd":
            scale, length = _movie_length(_at(file, start, 32))
            seconds = _ratio(length, scale) if length else None
        elif kind == b"mvex" and seconds is None:  # in fragments
            for inner, at, _ in _boxes(file, start, end, steps):
                if inner == b"mehd":
                    head = _at(file, at, 12)
                    (length,) = struct.unpack_from(">Q" if head[0] else ">I", head, 4)
                    seconds = _ratio(length, scale)
        elif kind == b"trak" and width is None:
            for inner, at, _ in _boxes(file, start, end, steps):
                if inner == b"tkhd":
                    width, height = _track_size(_at(file, at, 96))
    return Measures(seconds, width, height)


def _movie_length(head: bytes) -> tuple[int, int]:
    """The units a second and the length in them, 0 when it is unknown."""
    scale, length = struct.unpack_from(">IQ", head, 20) if head[0] else struct.unpack_from(">II", head, 12)
    return scale, 0 if length in {UNKNOWN_32, UNKNOWN_64} else length


def _track_size(head: bytes) -> tuple[int | None, int | None]:
    """Width and height as displayed; None for a track without a picture."""
    matrix = 52 if head[0] else 40
    across, _, _, _, _ = struct.unpack_from(">5i", head, matrix)
    width, height = (value >> 16 for value in struct.unpack_from(">II", head, matrix + 36))
    if not width or not height:
        return None, None
    return (width, height) if across else (height, width)  # a quarter turn has 0 there


# --- WebM --------------------------------------------------------------------------------------------------------

_SEGMENT, _INFO, _TRACKS, _CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
_SCALE, _DURATION, _TRACK, _VIDEO, _WIDTH, _HEIGHT = 0x2AD7B1, 0x4489, 0xAE, 0xE0, 0xB0, 0xBA


def _elements(file: BinaryIO, start: int, end: int, steps: Iterator[int]) -> Iterator[tuple[int, int, int]]:
    """The elements between two offsets: id, and where the content begins and ends, by its own length."""
    while start + 2 <= end and next(steps) < MAX_STEPS:
        head = _at(file, start, 12)
        id_bytes = 9 - head[0].bit_length()
        size_bytes = 9 - head[id_bytes].bit_length()
        element = int.from_bytes(head[:id_bytes], "big")
        mask = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & mask
        content = start + id_bytes + size_bytes
        last = end if size == mask else content + size
        yield element, content, last
        start = last


def _webm(file: BinaryIO, size: int) -> Measures:
    """`Info` has the length, the first track with a picture its size; both are before the first cluster."""
    steps, values = count(), dict[int, int]()
    seconds = None
    outer = [(0, size)]
    while outer:
        start, end = outer.pop()
        for element, content, declared in _elements(file, start, end, steps):
            last = min(declared, end)
            if element == _CLUSTER:
                break
            if element in {_SEGMENT, _INFO, _TRACKS, _TRACK, _VIDEO}:
                outer.append((content, last))
            elif element in {_SCALE, _WIDTH, _HEIGHT}:
                values.setdefault(element, int.from_bytes(_at(file, content, min(last - content, 8)), "big"))
            elif element == _DURATION:
                digits = _at(file, content, min(last - content, 9))  # one more than the longest: the file is wrong
                (seconds,) = struct.unpack(">f" if len(digits) == 4 else ">d", digits)  # noqa: PLR2004  bytes
    if seconds is not None and 0 < seconds < float(UNKNOWN_32):
        total = _ratio(round(seconds * values.get(_SCALE, 1_000_000)), 1_000_000_000)
    else:
        total = None
    return Measures(total, values.get(_WIDTH), values.get(_HEIGHT))


# --- sound -------------------------------------------------------------------------------------------------------


def _wav(file: BinaryIO, size: int) -> Measures:
    """Bytes of sound divided by bytes a second."""
    start, rate, steps = 12, 0, count()
    while start + 8 <= size and next(steps) < MAX_STEPS:
        kind, length = struct.unpack("<4sI", _at(file, start, 8))
        if kind == b"fmt ":
            (rate,) = struct.unpack("<8xI", _at(file, start + 8, 12))
        elif kind == b"data":
            return Measures(_ratio(min(length, size - start - 8), rate))
        start += 8 + length + length % 2
    raise _broken()


def _flac(file: BinaryIO, _: int) -> Measures:
    """Samples, and samples a second, of the first block."""
    packed = int.from_bytes(_at(file, 18, 8), "big")
    samples = packed & (1 << 36) - 1
    return Measures(_ratio(samples, packed >> 44) if samples else None)


def _ogg(file: BinaryIO, size: int) -> Measures:
    """The position of the last page, in samples a second of the first: Opus counts 48,000, Vorbis says how many."""
    first = _at(file, 0, 4096)
    opus, vorbis = first.find(b"OpusHead"), first.find(b"\x01vorbis")
    if opus >= 0:
        rate, skipped = 48_000, struct.unpack_from("<H", first, opus + 10)[0]
    elif vorbis >= 0:
        rate, skipped = struct.unpack_from("<I", first, vorbis + 12)[0], 0
    else:
        return Measures()
    tail = _at(file, max(0, size - TAIL_BYTES), TAIL_BYTES)
    page = tail.rfind(b"OggS")
    if page < 0:
        raise _broken()
    (position,) = struct.unpack_from("<Q", tail, page + 6)
    return Measures(None if position == UNKNOWN_64 else _ratio(max(0, position - skipped), rate))


def _mp3(file: BinaryIO, size: int) -> Measures:
    """Frames that the first one announces (Xing, VBRI); else by the bit rate, if the first frames have the same."""
    head, start = _at(file, 0, 10), 0
    if head.startswith(b"ID3"):
        start = 10 + sum((value & 0x7F) << shift for value, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    window = _at(file, start, 4096)
    at = next(at for at in range(len(window) - 4) if _mp3_frame(window[at : at + 4]) is not None)
    frame = _mp3_frame(window[at : at + 4])
    if frame is None:
        raise _broken()
    rate, hertz, samples, length, tables = frame
    frames = _announced_frames(window[at : at + 200], tables)
    if frames:
        return Measures(_ratio(frames * samples, hertz))
    begin = offset = start + at
    for _ in range(20):
        found = _mp3_frame(_at(file, offset, 4))
        if found is None:
            break
        if found[0] != rate:
            return Measures()
        offset += found[3]
    end = size - 128 if _at(file, max(0, size - 128), 3) == b"TAG" else size
    return Measures(_ratio((end - begin) * 8, rate)) if offset > begin + length else Measures()


def _mp3_frame(head: bytes) -> tuple[int, int, int, int, int] | None:
    """Bits and samples a second, samples and bytes of a frame, and where its tables end; None if it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # noqa: PLR2004  11 bits of sync, layer III
        return None
    version, rate, hertz = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate in {0, 15} or hertz == 3:  # noqa: PLR2004  reserved
        return None
    first = version == 3  # noqa: PLR2004  MPEG 1
    bits = (_MP3_RATES if first else _MP3_RATES_2)[rate] * 1000
    per_second = _MP3_HERTZ[hertz] >> (0 if first else 1 if version else 2)
    samples = 1152 if first else 576
    mono = head[3] >> 6 == 3  # noqa: PLR2004  one channel
    tables = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}[first, mono]
    return bits, per_second, samples, samples // 8 * bits // per_second + (head[2] >> 1 & 1), tables


def _announced_frames(frame: bytes, tables: int) -> int:
    """The number of frames that this one announces; 0 if it does not."""
    if frame[tables : tables + 4] in {b"Xing", b"Info"} and frame[tables + 7] & 1:
        return int(struct.unpack_from(">I", frame, tables + 8)[0])
    return int(struct.unpack_from(">I", frame, 50)[0]) if frame[36:40] == b"VBRI" else 0


def _aac(file: BinaryIO, size: int) -> Measures:
    """The frames, counted: their stream has no header."""
    offset = frames = hertz = 0
    while offset + 7 <= size:
        head = _at(file, offset, 7)
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or length < 7:  # noqa: PLR2004  12 bits of sync, and the header
            break
        hertz = _AAC_HERTZ[head[2] >> 2 & 15]
        frames, offset = frames + 1 + (head[6] & 3), offset + length
        if frames > MAX_STEPS:
            return Measures()
    if not frames:
        raise _broken()
    return Measures(_ratio(frames * _AAC_SAMPLES, hertz))


_READERS: dict[str, Callable[[BinaryIO, int], Measures]] = {
    "video/mp4": _iso,
    "video/quicktime": _iso,
    "video/webm": _webm,
    "audio/mp4": _iso,
    "audio/wav": _wav,
    "audio/mpeg": _mp3,
    "audio/aac": _aac,
    "audio/ogg": _ogg,
    "audio/flac": _flac,
}
