"""JSON from outside, cleaned while it is parsed, so that it can be stored and written as strict JSON again."""

import json
import re
from math import isfinite
from typing import Any

MAX_DEPTH = 32  # fal's own answers have about five levels
MAX_VALUES = 100_000  # of one document
MAX_DIGITS = 19  # of an integer of 64 bits
ERROR_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
UNITS = re.compile(r"(?=.{1,24}$)[0-9]+(\.[0-9]+)?", re.ASCII)


def read_json(text: str) -> Any:
    """The parsed value; ValueError for text that is not JSON, too deep, or has too many values.

    - NaN, infinities, numbers that become infinite, and integers beyond 64 bits become None
    - half of a surrogate pair becomes U+FFFD, in names too; of two members with one name the last counts
    """
    try:
        return _Cleaner().clean(_DECODER.decode(text.strip()), MAX_DEPTH)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_error_type(*candidates: Any) -> str | None:
    """Fal's error type: the first candidate that may stand in a header; None without one."""
    return next((text for text in candidates if isinstance(text, str) and ERROR_TYPE.fullmatch(text)), None)


def read_units(text: str | None) -> str | None:
    """Fal's billable units: a plain decimal number of at most 24 characters; None for anything else."""
    return text if text is not None and UNITS.fullmatch(text) else None


def to_none(_: str) -> None:
    """None, in place of NaN, Infinity and -Infinity."""


def replace_half_surrogates(text: str) -> str:
    """The text with U+FFFD in place of half surrogate pairs, which UTF-8 cannot encode."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS and abs(int(digits)) < 1 << 63 else None


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=to_none)


class _Cleaner:
    """Cleans the values of one document."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def clean(self, value: Any, depth: int) -> Any:
        """The cleaned value, at most so many levels deep."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many values")
        match value:
            case str():
                return replace_half_surrogates(value)
            case float():
                return value if isfinite(value) else None
            case dict() | list() if depth == 0:
                raise ValueError("nested too deeply")
            case dict():
                return {replace_half_surrogates(name): self.clean(item, depth - 1) for name, item in value.items()}
            case list():
                return [self.clean(item, depth - 1) for item in value]
            case _:
                return value
