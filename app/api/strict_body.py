"""The base of all models of bodies, and types of members that several of them have."""

import json
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.domain.addresses import read_origin

STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)
NULL = {"type": "null"}
LONGEST_ID = 64  # characters; of queries too


def distinct(values: list[Any]) -> list[Any]:
    """The values; ValueError when one is repeated."""
    if len(set(values)) != len(values):
        raise ValueError("Something is given twice here; keep one")
    return values


def web_origin(text: str) -> str:
    """A web origin; ValueError with an example for anything else."""
    try:
        return read_origin(text)
    except ValueError:
        raise ValueError("An origin is as browsers send it: https://app.example.com") from None


ModelIds = Annotated[
    list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=100), AfterValidator(distinct)
]


class StrictBody(BaseModel):
    """A strict body. An optional member that is null counts as omitted, unless `null_is_a_value`."""

    model_config = STRICT
    null_is_a_value: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        if cls.null_is_a_value or not isinstance(value, dict):
            return value
        if None not in value.values():
            return value
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: item for name, item in value.items() if item is not None or name not in optional}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema for generators of clients: some treat a member with a `default` as required."""
        schema = handler(core_schema)
        for member in handler.resolve_ref_schema(schema)["properties"].values():
            default = member.pop("default", None)
            if default not in {None, ""}:
                usual = f"{json.dumps(default)} by default"
                member["description"] = f"{member['description']}; {usual}" if "description" in member else usual
            if NULL in member.get("anyOf", ()) and not cls.null_is_a_value:
                one, *more = [choice for choice in member.pop("anyOf") if choice != NULL]
                member.update({"anyOf": [one, *more]} if more else one)
        return schema
