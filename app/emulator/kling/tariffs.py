"""Prices in micro-dollars (November 2026), and how fal shows them: a unit price, and for some models a sentence.

Where there is a sentence, it is the price, and the unit price is only the scale of `X-Fal-Billable-Units`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

Said = Literal["", "first five", "sound", "always"]
MICRO = 1_000_000
LEEWAY = Decimal("0.05")


class Use(Protocol):
    """What a request used: values of its input, seconds of its input videos and sounds, seconds of its output."""

    @property
    def input_seconds(self) -> Decimal:
        """Seconds of the input videos, or of the input sound; 0 without one."""

    @property
    def output_seconds(self) -> Decimal:
        """Seconds of the video."""

    def value(self, name: str) -> Any:
        """The value of an input field with its default; None for a field that the model does not have."""


class Tariff(Protocol):
    """A model's price. `unit_micro` is its unit price and `unit` fal's word for the unit."""

    @property
    def unit(self) -> str:
        """Seconds, videos, units."""

    @property
    def unit_micro(self) -> int:
        """The price of one unit."""

    @property
    def sentence(self) -> str:
        """The price in words; empty where the unit price says it all."""

    def micro(self, use: Use) -> int:
        """The cost of this use."""


@dataclass(frozen=True, slots=True)
class PerSecond:
    """By seconds of video: silent, with generated sound, with sound in chosen voices."""

    silent: int
    audio: int = 0
    voiced: int = 0
    said: Said = ""
    scale: int = 0  # the unit price, where it is not the lowest rate
    unit: str = "seconds"

    @property
    def unit_micro(self) -> int:
        """The price of one unit."""
        return self.scale or self.silent

    @property
    def sentence(self) -> str:
        """The price in words; empty where the unit price says it all."""
        rate = dollars(self.silent)
        if self.said == "first five":
            more = f"For every aditional second you will be charged {rate}."  # fal's spelling
            return f"For 5s video your request will cost {dollars(5 * self.silent)}. {more}"
        charged = "For every second of video you generated, you will be charged"
        if self.said == "always":
            return f"{charged} {rate} regardless of whether audio is on or off."
        if self.said == "sound":
            voices = f", if voice control is used while generating audio you will be charged {dollars(self.voiced)}"
            return (
                f"{charged} {rate} (audio off) or {dollars(self.audio)} (audio on){voices if self.voiced else ''}."
            )
        return ""

    def micro(self, use: Use) -> int:
        """The cost of this use."""
        return self._rate(use) * whole(use.output_seconds)

    def _rate(self, use: Use) -> int:
        if not self.audio or use.value("generate_audio") is False:
            return self.silent
        return self.voiced if self.voiced and _has_voices(use) else self.audio


@dataclass(frozen=True, slots=True)
class PerInputSecond:
    """By seconds of the input video or sound, rounded up to a multiple of `step`, and at least `least` of them."""

    unit_micro: int
    step: int = 1
    least: int = 0
    unit: str = "seconds"

    @property
    def sentence(self) -> str:
        """The price in words; empty where the unit price says it all."""
        if self.step == 1:
            return ""
        rate = dollars(self.unit_micro)
        priced = f"Your request will be priced {rate} per input video seconds"
        return f"{priced}, rolling up to closest {self.step} second increment."

    def micro(self, use: Use) -> int:
        """The cost of this use."""
        return self.unit_micro * max(self.least, whole(use.input_seconds, self.step))


@dataclass(frozen=True, slots=True)
class ByResolution:
    """Kling 4.0: by resolution, and with a video among the inputs a lower rate for input and output together."""

    rates: Mapping[str, int]
    with_video: Mapping[str, int] = field(default_factory=dict)
    unit: str = "seconds"

    @property
    def unit_micro(self) -> int:
        """The price of one unit."""
        return min((self.rates or self.with_video).values())

    @property
    def sentence(self) -> str:
        """The price in words; empty where the unit price says it all."""
        both = "billed on the input plus output length (minimum 2\N{MULTIPLICATION SIGN} the output)"
        parts = [_by_resolution(self.rates)] if self.rates else []
        parts += [f"{_by_resolution(self.with_video)}, {both}"] if self.with_video else []
        return " ".join(f"Video costs {part}." for part in parts)

    def micro(self, use: Use) -> int:
        """The cost of this use."""
        resolution, output = use.value("resolution"), whole(use.output_seconds)
        if use.input_seconds and self.with_video:
            return self.with_video[resolution] * max(whole(use.input_seconds) + output, 2 * output)
        return self.rates[resolution] * output


@dataclass(frozen=True, slots=True)
class Flat:
    """A price for each request."""

    unit_micro: int
    unit: str = "videos"

    @property
    def sentence(self) -> str:
        """The price in words; empty where the unit price says it all."""
        return ""

    def micro(self, _use: Use) -> int:
        """The cost of this use."""
        return self.unit_micro


def whole(seconds: Decimal, step: int = 1) -> int:
    """Seconds rounded up to a multiple of `step`; what a container has above a whole second is not counted.

    fal documents the rounding of lip sync only, and limits such as 10.05 s for a video of ten seconds.
    """
    return max(1, math.ceil((seconds - LEEWAY) / step)) * step


def dollars(micro: int) -> str:
    """`$0.056`, and `$1.40` with two digits at least."""
    text = f"{Decimal(micro) / MICRO:.6f}".rstrip("0")
    return f"${text}" + "0" * max(0, 2 - len(text.partition(".")[2]))


def _by_resolution(rates: Mapping[str, int]) -> str:
    return " and ".join(f"**{dollars(micro)}** per second at **{size}**" for size, micro in rates.items())


def _has_voices(use: Use) -> bool:
    """True when voices were chosen: for the clip, or for one of its elements."""
    return bool(use.value("voice_ids")) or any(element.voice_id for element in use.value("elements") or [])
