"""What the models of bodies have in common."""

import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
NULL = {"type": "null"}


class StrictBody(BaseModel):
    """A strict body. An optional member given as null reads as not given, unless null `null_is_a_value`."""

    model_config = STRICT
    null_is_a_value: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if cls.null_is_a_value or not isinstance(value, dict):
            return value
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: item for name, item in value.items() if item is not None or name not in optional}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema for generators of clients: some take a member with a `default` for one that must be there."""
        found = handler(core_schema)
        for member in handler.resolve_ref_schema(found)["properties"].values():
            default = member.pop("default", None)
            if default not in {None, ""}:
                usual = f"{json.dumps(default)} by default"
                member["description"] = f"{member['description']}; {usual}" if "description" in member else usual
            if NULL in member.get("anyOf", ()) and not cls.null_is_a_value:
                one, *more = [choice for choice in member.pop("anyOf") if choice != NULL]
                member.update({"anyOf": [one, *more]} if more else one)
        return found
