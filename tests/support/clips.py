"""Videos and sound of every kind that may be uploaded, made with real encoders."""

import io
import struct
from fractions import Fraction
from typing import Any

import av

SECONDS = 3
FPS = 25
RATE = 44_100
# Name: Pillow-like container of PyAV, codec, media type; a picture comes first where there is one.
CLIPS = {
    "mp4": ("mp4", "mpeg4", "video/mp4"),
    "mov": ("mov", "mpeg4", "video/quicktime"),
    "webm": ("webm", "libvpx", "video/webm"),
    "m4a": ("ipod", "aac", "audio/mp4"),
    "wav": ("wav", "pcm_s16le", "audio/wav"),
    "mp3": ("mp3", "mp3", "audio/mpeg"),
    "aac": ("adts", "aac", "audio/aac"),
    "ogg": ("ogg", "libopus", "audio/ogg"),
    "flac": ("flac", "flac", "audio/flac"),
}


def clip(name: str, *, seconds: float = SECONDS, size: tuple[int, int] = (128, 96), **options: str) -> bytes:
    """A file of so many seconds: 25 pictures in each, all alike, or silence."""
    form, codec, kind = CLIPS[name]
    target = io.BytesIO()
    with av.open(target, "w", format=form, options=options) as container:
        if kind.startswith("video/"):
            stream: Any = container.add_stream(codec, rate=FPS)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(round(seconds * FPS)):
                frame: Any = av.VideoFrame(*size, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                container.mux(stream.encode(frame))
        else:
            rate = 48_000 if codec == "libopus" else RATE
            stream = container.add_stream(codec, rate=rate, layout="mono")
            samples = stream.codec_context.frame_size or 1024
            for start in range(0, round(rate * seconds), samples):
                frame = av.AudioFrame(format=stream.format.name, layout="mono", samples=samples)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def length(content: bytes) -> float:
    """Seconds of a file by its container."""
    with av.open(io.BytesIO(content), "r") as container:
        assert container.duration is not None
        return container.duration / av.time_base


def large(content: bytes, size: int) -> bytes:
    """An MP4 with a box of nothing at its end, so that it has this size."""
    rest = size - len(content)
    return content + struct.pack(">I4s", rest, b"free") + bytes(rest - 8)
