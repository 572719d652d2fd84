"""Reads an input as fal's own models do: unknown fields are dropped, and `5` is read for `"5"`, at any depth.

As observed: fal's apps read their input in pydantic's lax mode, where `"5s"` is refused too.
"""

import math
import re
from collections.abc import Container, Mapping
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_TRUTH = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}


def read_object(
    properties: Mapping[str, Any], given: Mapping[str, Any], known: Container[str]
) -> tuple[dict[str, Any], list[str]]:
    """The known fields, each read leniently, and the names of the others: `seed`, `multi_prompt.index`."""
    read, dropped = dict[str, Any](), list[str]()
    for name, value in given.items():
        if name not in known:
            dropped.append(name)
        elif isinstance(value, str) and properties[name]["type"] == "string":  # most are
            read[name] = value
        else:
            read[name] = _read_below(properties[name], name, value, dropped)
    return read, dropped


def _read_below(field: Mapping[str, Any], name: str, value: Any, dropped: list[str]) -> Any:
    """The value of a field; the names of unknown fields in it are added to `dropped`."""
    if isinstance(value, list) and "items" in field:
        return [_read_below(field["items"], name, item, dropped) for item in value]
    if isinstance(value, dict) and "properties" in field:
        read, unknown = read_object(field["properties"], value, field["properties"])
        dropped.extend(f"{name}.{inner}" for inner in unknown)
        return read
    return read_value(field, value)


def read_value(field: Mapping[str, Any], value: Any) -> Any:
    """A number for its text, a text for its number or truth; anything else is left to validation."""
    kind = field["type"]
    if isinstance(value, str):
        if kind in {"number", "integer"} and _NUMBER.fullmatch(value.strip()):
            number = float(value)
            return int(number) if kind == "integer" and number.is_integer() else number
        return _TRUTH.get(value.lower(), value) if kind == "boolean" else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    if kind == "boolean":
        return bool(value) if value in {0, 1} else value
    if kind == "integer":
        return int(value) if value == int(value) else value
    return str(int(value)) if "enum" in field and value == int(value) else value
