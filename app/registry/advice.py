"""What to write instead of a value that is nearly right: `"5"` for `"5s"` or 5. It never repeats the value."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST = 40  # characters of a value that is looked at
_SECONDS = re.compile(r"0*([0-9]{1,4})(?:\.0+)?\s*(?:s|secs?|seconds?)?")
_RATIO = re.compile(r"([0-9]{1,3})\s*[:/x\u00d7]\s*([0-9]{1,3})")
_TRUTH = frozenset({"true", "false", "yes", "no", "on", "off", "0", "1"})


def advice(field: Mapping[str, Any], value: Any) -> str:
    """One more sentence, after a space, about a value that this field refuses; empty when there is none."""
    if "enum" in field:
        meant = _choice(field["enum"], value)
        return "" if meant is None else f' Write "{meant}".'
    kind, text = field.get("type"), value[:_LONGEST].strip().lower() if isinstance(value, str) else ""
    if kind in {"number", "integer"} and (_SECONDS.fullmatch(text) or _is_number(text)):
        return " Write only the number, without quotation marks."
    if kind == "boolean" and text in _TRUTH:
        return " Write true or false without quotation marks."
    return ""


def _choice(choices: Sequence[str], value: Any) -> str | None:
    """The choice that is meant."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else f"{value:g}" if math.isfinite(value) else ""
    text = text[:_LONGEST].strip().lower()
    found = {text}
    if seconds := _SECONDS.fullmatch(text):
        found.add(seconds[1])
    if ratio := _RATIO.fullmatch(text):
        found.add(f"{ratio[1]}:{ratio[2]}")
    return next((choice for choice in choices if choice.lower() in found), None)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
