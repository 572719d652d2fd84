"""Small real videos and sounds."""

import io
import wave
from fractions import Fraction

import av
from PIL import Image

FPS = 25


def video(seconds: float, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """An MP4 of one colour."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_image(Image.new("RGB", size, (200, 40, 40)))  # type: ignore[no-untyped-call]  # PyAV has no type for it
        for moment in range(round(seconds * FPS)):
            frame.pts, frame.time_base = moment, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def sound(seconds: float, *, rate: int = 8_000) -> bytes:
    """A silent WAV."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * round(seconds * rate)))
    return target.getvalue()


def length(content: bytes) -> float:
    """Seconds of a video or sound by its container."""
    with av.open(io.BytesIO(content), "r") as container:
        assert container.duration is not None
        return container.duration / av.time_base
