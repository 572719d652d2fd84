"""Types of members that occur in many replies."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Usd = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,6}$", "description": "US dollars", "examples": ["1.40"]}
    ),
]
Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
# An object whose members fal or a model defines.
Object = dict[str, Any]
