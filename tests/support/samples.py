"""Makes the playground's samples from nothing: a figure before hills as a picture and as a film, and a voice.

`.venv/bin/python -m tests.support.samples` writes them into the page's folder, with their digests. The figure looks
into the camera, moves its head and shuts its eyes, because models of talking figures look for a face.
"""

import array
import hashlib
import math
import wave
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from PIL import Image, ImageDraw, ImageFilter

from tests.support.repo import ROOT

FOLDER = ROOT / "app" / "web" / "static" / "views" / "playground" / "samples"
SIZE = (1280, 720)
FINER = 2  # drawn so many times larger, because Pillow's shapes have hard edges
FPS, SECONDS = 24, 5
FILM_OPTIONS = {"preset": "slow", "crf": "24", "tune": "animation"}
RATE, VOICE_SECONDS, PITCH = 24_000, 6, 128  # samples in a second; Hz
VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
)  # formants, Hz
SYLLABLE_S, SOUNDING = 0.3, 0.78  # the part of a syllable that sounds
BANDWIDTH = 90  # Hz, of a formant

SKY = ((46, 58, 104), (236, 150, 112), (252, 214, 160))
HILLS = (((96, 86, 128), 470, 46, 210), ((66, 72, 106), 540, 40, 150), ((38, 50, 78), 610, 30, 240))
SKIN, SHADE, HAIR, COAT, COLLAR, DARK, LIP = (
    (226, 172, 140),
    (202, 146, 116),
    (58, 40, 42),
    (34, 108, 118),
    (240, 226, 204),
    (36, 26, 34),
    (168, 84, 84),
)
Box = tuple[float, float, float, float]


def main() -> None:
    """Write the samples and their page."""
    FOLDER.mkdir(exist_ok=True)
    hills = _hills()
    _figure(hills, 0.0).save(FOLDER / "figure.jpg", quality=86, optimize=True)
    _film(hills, FOLDER / "figure.mp4")
    _voice(FOLDER / "voice.mp3")
    digests = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(FOLDER.glob("*.*"))
    ]
    about = "Made by tests/support/samples.py, drawn and computed from nothing. Licence: as Filmgate."
    (FOLDER / "VERSION").write_text("\n".join([about, *digests]) + "\n", encoding="utf-8")


# --- picture -----------------------------------------------------------------------------------------------------


def _hills() -> Image.Image:
    """A sunrise over three rows of hills."""
    width, height = SIZE
    column = Image.new("RGB", (1, height))
    for y in range(height):
        place = y / height * (len(SKY) - 1)
        low = min(int(place), len(SKY) - 2)
        column.putpixel((0, y), _between(SKY[low], SKY[low + 1], place - low))
    sky = column.resize(SIZE)
    glow = Image.new("L", SIZE)
    ImageDraw.Draw(glow).ellipse((900, 250, 1140, 490), fill=255)
    sky.paste((255, 236, 200), mask=glow.filter(ImageFilter.GaussianBlur(18)))
    for colour, base, swing, length in HILLS:
        line = [
            (x, base + swing * math.sin(x / length + base) + swing / 3 * math.sin(x / 47)) for x in range(width)
        ]
        ImageDraw.Draw(sky).polygon([(0, height), *line, (width, height)], fill=colour)
    return sky.filter(ImageFilter.GaussianBlur(1.2))


def _between(one: tuple[int, ...], other: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _figure(hills: Image.Image, moment: float) -> Image.Image:
    """The figure at a moment between 0 and 1 of its loop: it sways, and shuts its eyes twice."""
    turn = math.sin(2 * math.pi * moment)
    lift = math.sin(4 * math.pi * moment)
    layer = Image.new("RGBA", (SIZE[0] * FINER, SIZE[1] * FINER))
    draw = ImageDraw.Draw(layer)
    x, y = 540 + 9 * turn, 300 + 4 * lift

    def round_shape(box: Box, colour: tuple[int, ...], move: float = 0) -> None:
        left, top, right, bottom = box
        draw.ellipse(
            [FINER * part for part in (left + x + move, top + y, right + x + move, bottom + y)], fill=colour
        )

    draw.rounded_rectangle([FINER * part for part in (290, 520 + 3 * lift, 790, 900)], FINER * 150, fill=COAT)
    draw.polygon([FINER * part for part in (450, 524, 540, 650, 630, 524)], fill=COLLAR)
    draw.rounded_rectangle([FINER * part for part in (x - 52, y + 90, x + 52, 575)], FINER * 46, fill=SHADE)
    round_shape((-150, -196, 150, 120), HAIR)
    round_shape((-136, -20, -104, 50), SHADE, 4 * turn)
    round_shape((104, -20, 136, 50), SHADE, 4 * turn)
    round_shape((-116, -150, 116, 158), SKIN)
    draw.chord([FINER * part for part in (x - 132, y - 190, x + 132, y + 20)], 178, 2, fill=HAIR)
    face = 10 * turn  # features move farther than the head: it turns
    shut = abs(moment - 0.3) < 0.02 or abs(moment - 0.8) < 0.02  # twice in a loop
    for eye in (-48, 48):
        if shut:
            draw.line([FINER * part for part in (x + face + eye - 18, y + 6, x + face + eye + 18, y + 6)], DARK, 8)
        else:
            round_shape((eye - 22, -12, eye + 22, 24), (250, 246, 240), face)
            round_shape((eye - 12, -6, eye + 12, 20), DARK, face * 1.3)
            round_shape((eye - 5, -2, eye + 3, 6), (255, 255, 255), face * 1.3)
        brow = (x + face + eye - 26, y - 40 + 2 * lift, x + face + eye + 26, y - 8 + 2 * lift)
        draw.arc([FINER * part for part in brow], 200, 340, fill=HAIR, width=FINER * 7)
    draw.arc([FINER * part for part in (x + face - 14, y + 26, x + face + 14, y + 62)], 20, 160, SHADE, FINER * 5)
    draw.chord([FINER * part for part in (x + face - 40, y + 62, x + face + 40, y + 112)], 12, 168, fill=LIP)
    figure = layer.resize(SIZE, Image.Resampling.LANCZOS)
    picture = hills.copy()
    picture.paste(figure, mask=figure.getchannel("A"))
    return picture


def _film(hills: Image.Image, target: Path) -> None:
    """One loop of the figure as H.264, its headers first."""
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=FILM_OPTIONS)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        count = FPS * SECONDS
        for number in range(count):
            frame = av.VideoFrame.from_image(_figure(hills, number / count))  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# --- voice -------------------------------------------------------------------------------------------------------


def _voice(target: Path) -> None:
    """Six seconds of vowels with pauses between them, as MP3."""
    with TemporaryDirectory() as folder:
        tone = Path(folder) / "voice.wav"
        with wave.open(str(tone), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(array.array("h", _samples()).tobytes())
        with av.open(str(tone)) as source, av.open(str(target), "w", format="mp3") as container:
            stream = container.add_stream("libmp3lame", rate=RATE)
            stream.codec_context.bit_rate = 48_000
            for frame in source.decode(audio=0):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def _samples() -> list[int]:
    """Harmonics of a falling pitch, as loud as a vowel's formants make them."""
    loud = [_loudness(vowel) for vowel in VOWELS]
    samples, phase = [], 0.0
    for number in range(RATE * VOICE_SECONDS):
        at = number / RATE
        syllable, inside = divmod(at / SYLLABLE_S, 1)
        phase += 2 * math.pi * PITCH * (1.12 - 0.2 * (at % 2) / 2) / RATE
        swell = math.sin(math.pi * inside / SOUNDING) ** 0.6 if inside < SOUNDING else 0.0
        vowel = loud[int(syllable * 7) % len(loud)]
        samples.append(round(9_000 * swell * sum(part * math.sin(n * phase) for n, part in enumerate(vowel, 1))))
    return samples


def _loudness(formants: tuple[int, ...]) -> list[float]:
    """How loud each harmonic of the pitch is, together 1."""
    found = [
        sum(
            1 / (1 + ((PITCH * n - formant) / BANDWIDTH) ** 2) / (1 + place)
            for place, formant in enumerate(formants)
        )
        for n in range(1, 26)
    ]
    return [part / sum(found) for part in found]


if __name__ == "__main__":
    main()
