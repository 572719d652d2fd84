"""Makes a sound: a soft tone as a WAV file."""

import array
import math
import wave
from decimal import Decimal
from pathlib import Path

RATE = 8_000  # samples in a second
TONE = 220  # Hz
VOLUME = 6_000


def hum(seconds: Decimal, target: Path) -> None:
    """Writes so many seconds of a tone at `target`."""
    period = [round(VOLUME * math.sin(2 * math.pi * TONE * number / RATE)) for number in range(RATE)]
    count = round(seconds * RATE)
    samples = array.array("h", (period * (count // RATE + 1))[:count])
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
