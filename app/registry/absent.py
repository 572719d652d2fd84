"""Optional fields that are given, but say nothing: `null`, an empty list, an empty text.

Generated clients and forms send every field that they know, and fal's own examples have `"multi_prompt": null`.
Such a field counts as absent, at any depth, so that an input has one meaning however it is written. An empty text
stays where the model takes it: an empty `negative_prompt` is not the default one.
"""

from collections.abc import Mapping
from typing import Any


class OptionalFields:
    """The optional fields of an object, and of the objects below it."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """`spec` is the object's schema, as in a model's file."""
        fields: Mapping[str, Mapping[str, Any]] = spec["properties"]
        required = spec.get("required", ())
        self._nothing = {name: _nothing(field) for name, field in fields.items() if name not in required}
        below = {name: field.get("items", field) for name, field in fields.items()}
        self._below = {name: OptionalFields(inner) for name, inner in below.items() if "properties" in inner}

    def given(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields that say something; `value` itself, unchanged, when all do."""
        values = value.values()
        if None in values or "" in values or [] in values:  # few inputs have any
            value = {name: item for name, item in value.items() if item not in self._nothing.get(name, ())}
        for name, inner in self._below.items():
            item = value.get(name)
            if isinstance(item, dict):
                value = {**value, name: inner.given(item)}
            elif isinstance(item, list):
                value = {**value, name: [inner.given(one) if isinstance(one, dict) else one for one in item]}
        return value


def _nothing(field: Mapping[str, Any]) -> tuple[Any, ...]:
    """What says nothing as a value of this field."""
    if field["type"] == "array":
        return (None, "", [])
    may_be_empty = field["type"] == "string" and not field.keys() & {"enum", "format", "minLength"}
    return (None,) if may_be_empty else (None, "")
