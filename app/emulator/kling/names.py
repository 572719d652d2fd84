"""Long lists of fixed words, as fal's generated types had them in August 2026."""

from pathlib import Path


def _words(name: str) -> tuple[str, ...]:
    return tuple(Path(__file__).with_name(name).read_text(encoding="utf-8").split())


VOICES = _words("voices.txt")
EFFECTS = _words("effects.txt")
