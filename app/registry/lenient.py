"""What fal's own models let pass: `5` for `"5"`, and `"0.5"` for `0.5`. Nothing else is converted.

Observed of pydantic's lax mode, in which fal's apps read their input; `"5s"` is refused there too.
"""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")


def read_leniently(spec: Mapping[str, Any], value: Any) -> Any:
    """The value in the type that the field's schema wants, where it says the same; else as it was given."""
    if "enum" in spec and isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if value == int(value) else value
    if spec["type"] in {"number", "integer"} and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        return int(number) if spec["type"] == "integer" and number.is_integer() else number
    return value
