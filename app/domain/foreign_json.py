"""JSON that a stranger wrote, made harmless while it is read.

Whatever comes out can be stored, written as strict JSON again, and shown to anybody.
"""

import json
import re
from math import isfinite
from typing import Any

MAX_DEPTH = 32  # levels; fal's own answers have about five
MAX_VALUES = 100_000  # in one document: a megabyte of empty lists is no answer
MAX_DIGITS = 19  # of an integer, which then fits into 64 bits
ERROR_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def read_json(text: str) -> Any:
    """The value, where the text is JSON; ValueError where it is none, too deep, or has too many values.

    - NaN, infinities, numbers that become infinite, and integers beyond 64 bits are None
    - half of a surrogate pair is U+FFFD, in names too; of two members with one name the last counts
    """
    try:
        return _Reader().harmless(_DECODER.decode(text.strip()), MAX_DEPTH)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_error_type(*candidates: Any) -> str | None:
    """Fal's error type: the first of these that looks like one; it goes into a header of ours."""
    return next((text for text in candidates if isinstance(text, str) and ERROR_TYPE.fullmatch(text)), None)


def to_none(_: str) -> None:
    """What NaN, Infinity and -Infinity become."""


def replace_half_surrogates(text: str) -> str:
    """The text without half surrogate pairs, which no encoding can write."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS and abs(int(digits)) < 1 << 63 else None


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=to_none)


class _Reader:
    """Goes through one document."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def harmless(self, value: Any, depth: int) -> Any:
        """The value made harmless, at most so many levels deep."""
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
                return {replace_half_surrogates(name): self.harmless(one, depth - 1) for name, one in value.items()}
            case list():
                return [self.harmless(one, depth - 1) for one in value]
            case _:
                return value
