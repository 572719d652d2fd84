"""The length of a video or sound, by the header of its container."""

import contextlib
import io
import struct
import time
import tracemalloc
from decimal import Decimal

import pytest

from app.domain.errors import Unprocessable
from app.media.kinds import is_media, media_type
from app.media.lengths import Measures, is_cut_off, measure
from tests.support.clips import CLIPS, SECONDS, clip


def measured(content: bytes) -> Measures:
    """The measures of a file, by the type that its bytes have."""
    kind = media_type(content[:1024])
    assert kind is not None
    return measure(io.BytesIO(content), kind)


@pytest.mark.parametrize("name", CLIPS)
def test_a_real_file_is_recognised_and_measured(name: str) -> None:
    """Type, length (an encoder's padding apart) and size in pixels, of a real encoder's file."""
    content = clip(name)
    assert media_type(content[:1024]) == CLIPS[name][2]
    found = measured(content)
    assert found.seconds is not None
    assert abs(float(found.seconds) - SECONDS) < 0.15, found
    assert (found.width, found.height) == ((128, 96) if CLIPS[name][2].startswith("video/") else (None, None))


def test_an_index_at_the_beginning_or_in_fragments_is_found() -> None:
    """As phones, editors and streams write it."""
    content = clip("mp4")
    index, first = content.rindex(b"moov") - 4, int.from_bytes(content[:4], "big")
    assert index > len(content) // 2
    early = content[:first] + content[index:] + content[first:index]
    assert measured(early) == measured(content) == Measures(Decimal(SECONDS), 128, 96)
    fragments = measured(clip("mp4", movflags="frag_keyframe+empty_moov"))
    assert (fragments.width, fragments.height) == (128, 96)


def test_a_turned_video_is_measured_as_it_is_displayed() -> None:
    """A phone's portrait is a landscape with a matrix of a quarter turn."""
    content = bytearray(clip("mp4"))
    matrix = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    struct.pack_into(">9i", content, matrix, 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    assert measured(bytes(content)).width == 96


def test_an_mp3_without_a_table_is_measured_by_its_bit_rate() -> None:
    """A constant one; tags before and after are no sound."""
    content = clip("mp3", write_xing="0")
    assert b"Xing" not in content
    assert b"Info" not in content
    for file in (content, content + b"TAG" + bytes(125)):
        seconds = measured(file).seconds
        assert seconds is not None
        assert abs(seconds - SECONDS) < Decimal("0.15")


@pytest.mark.parametrize("name", ["mp4", "mov", "wav"])
def test_a_file_that_is_cut_off_before_its_index_is_refused(name: str) -> None:
    """Its length and more is missing."""
    with pytest.raises(Unprocessable, match="cut off"):
        measured(clip(name)[:40])


@pytest.mark.parametrize("name", CLIPS)
def test_a_file_that_says_its_size_is_cut_off_without_its_last_byte(name: str) -> None:
    """Most do; those that do not are never called so, nor one with something behind its end."""
    content, kind = clip(name), CLIPS[name][2]
    says_it = name in {"mp4", "mov", "m4a", "wav", "webm"}
    assert is_cut_off(io.BytesIO(content[:-1]), kind) is says_it
    for whole in (content, content + b"\xd1\x07\0\xff\x99\x01\0\x02 of a camera", content + bytes(100)):
        assert not is_cut_off(io.BytesIO(whole), kind)


def test_a_length_that_a_pipe_left_open_is_none() -> None:
    """A program that writes into a pipe does not know the length before, and cannot go back."""
    for length in (0xFFFFFFFF, 0x7FFFF024, 0):
        assert not is_cut_off(io.BytesIO(b"RIFF" + struct.pack("<I", length) + b"WAVE" + bytes(100)), "audio/wav")


def test_a_length_of_300_mb_is_not_read() -> None:
    """A WebM whose member `Duration` is as large as the file is broken, and none of it comes into memory."""
    eight = 0x0100_0000_0000_0000
    duration = b"\x44\x89" + (eight + 32_000_000).to_bytes(8, "big")
    info = b"\x15\x49\xa9\x66" + (eight + 32_000_010).to_bytes(8, "big") + duration
    head = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67" + (eight + 32_000_022).to_bytes(8, "big") + info
    assert media_type(head) == "video/webm"
    file = io.BytesIO(head + bytes(32_000_000))
    tracemalloc.start()
    with pytest.raises(Unprocessable):
        measure(file, "video/webm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_hostile_headers_cost_little_and_raise_nothing_else() -> None:
    """A million empty boxes, boxes of no size, depth, random bytes, a length of a thousand years."""
    head = b"\0\0\0\x10ftypisom\0\0\0\0"
    long = bytearray(clip("mp4"))
    struct.pack_into(">II", long, long.index(b"mvhd") + 4 + 12, 1, 0x7FFFFFFF)
    assert measured(bytes(long)).seconds is None
    cases = [
        head + b"\0\0\0\x08free" * 1_000_000,
        head + b"\0\0\0\x00moov" + b"\0\0\0\x00trak" * 100_000,
        head + b"\0\0\0\x01moov" + b"\xff" * 8 + bytes(100),
        head + b"\0\0\0\x03moov",
        b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xae\x80" * 1_000_000,
        b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm\0\0\0\0",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1_000_000,
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16) + b"data\xff\xff\xff\xff",
        b"\xff\xf1\x50\x80\x00\xff\xfc" * 400_000,
        b"OggS" + bytes(100) + b"OpusHead" + bytes(3),
        b"fLaC",
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        *(clip(name)[:keep] for name in CLIPS for keep in (20, 100, 400)),
    ]
    for content in cases:
        if not is_media(media_type(content[:1024])):
            continue
        began = time.thread_time()
        with contextlib.suppress(Unprocessable):
            measured(content)
        assert time.thread_time() - began < 1, content[:60]
