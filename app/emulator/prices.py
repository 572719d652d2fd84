"""Prices of the emulated fal in micro-dollars; independent of Filmgate's price list.

Every Kling price is per second of video (list prices, November 2026).
"""

from dataclasses import dataclass
from typing import Any

DEFAULT_PER_SECOND = 280_000
DEFAULT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Micro-dollars per second of video: silent, with generated audio, with audio and chosen voices."""

    silent: int
    audio: int = 0
    voiced: int = 0

    def per_second(self, payload: dict[str, Any]) -> int:
        """The rate for this input; `generate_audio` is on unless it was switched off."""
        if not self.audio or payload.get("generate_audio") is False:
            return self.silent
        return self.voiced if self.voiced and _has_voices(payload) else self.audio


PRICES = {  # the longest matching prefix of the endpoint id decides
    "fal-ai/kling-video/v1/standard": ModelPrice(45_000),
    "fal-ai/kling-video/v1/pro": ModelPrice(98_000),
    "fal-ai/kling-video/v1.5/pro": ModelPrice(98_000),
    "fal-ai/kling-video/v1.6/standard": ModelPrice(56_000),
    "fal-ai/kling-video/v1.6/pro": ModelPrice(98_000),
    "fal-ai/kling-video/v2/master": ModelPrice(280_000),
    "fal-ai/kling-video/v2.1/standard": ModelPrice(56_000),
    "fal-ai/kling-video/v2.1/pro": ModelPrice(98_000),
    "fal-ai/kling-video/v2.1/master": ModelPrice(280_000),
    "fal-ai/kling-video/v2.5-turbo/standard": ModelPrice(42_000),
    "fal-ai/kling-video/v2.5-turbo/pro": ModelPrice(70_000),
    "fal-ai/kling-video/v2.6/pro": ModelPrice(70_000, 140_000, 168_000),
    "fal-ai/kling-video/v3/standard": ModelPrice(84_000, 126_000, 154_000),
    "fal-ai/kling-video/v3/pro": ModelPrice(112_000, 168_000, 196_000),
    "fal-ai/kling-video/v3/4k": ModelPrice(420_000),
    "fal-ai/kling-video/v3/turbo/standard": ModelPrice(112_000),
    "fal-ai/kling-video/v3/turbo/pro": ModelPrice(140_000),
    "fal-ai/kling-video/o3/standard": ModelPrice(84_000, 112_000),
    "fal-ai/kling-video/o3/4k": ModelPrice(420_000),
    "kling/v4": ModelPrice(157_000),
}


def seconds_of(payload: Any) -> int:
    """Seconds of video of an input; 5 without a valid duration. A storyboard is as long as its shots together."""
    if not isinstance(payload, dict):
        return DEFAULT_SECONDS
    shots = payload.get("multi_prompt")
    if isinstance(shots, list) and shots and all(isinstance(shot, dict) for shot in shots):
        return _seconds(sum(_seconds(shot.get("duration")) for shot in shots))
    return _seconds(payload.get("duration"))


def _seconds(wanted: Any) -> int:
    try:
        seconds = int(str(wanted))
    except ValueError:
        return DEFAULT_SECONDS
    return seconds if 0 < seconds <= 60 else DEFAULT_SECONDS  # noqa: PLR2004  # no Kling clip is longer


def _has_voices(payload: dict[str, Any]) -> bool:
    """True when voices were chosen: for the clip, or for one of its elements."""
    elements = payload.get("elements")
    rows = elements if isinstance(elements, list) else []
    return bool(payload.get("voice_ids")) or any(isinstance(row, dict) and row.get("voice_id") for row in rows)


def rate(endpoint: str, payload: Any) -> int:
    """Micro-dollars per second of video."""
    matches = [prefix for prefix in PRICES if endpoint == prefix or endpoint.startswith(prefix + "/")]
    if not matches:
        return DEFAULT_PER_SECOND
    return PRICES[max(matches, key=len)].per_second(payload if isinstance(payload, dict) else {})


def cost(endpoint: str, payload: Any) -> int:
    """Micro-dollars of a generation."""
    return rate(endpoint, payload) * seconds_of(payload)
