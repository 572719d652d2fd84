"""The fields of a model's input as a tree: an object has fields below it, and so has a list."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

Location = tuple[int | str, ...]


def below(field: Mapping[str, Any]) -> list[Any]:
    """The schemas of an object's properties, and of a list's items."""
    return [*field.get("properties", {}).values(), *([field["items"]] if "items" in field else [])]


def formats(field: Mapping[str, Any]) -> frozenset[str]:
    """The formats of addresses that this field can hold, however deep, such as `image-url`."""
    own = {field["format"]} if "format" in field else set[str]()
    return frozenset(own).union(*map(formats, below(field)))


def addresses(
    field: Mapping[str, Any], value: Any, loc: Location, wanted: Container[str]
) -> Iterator[tuple[Location, str, str]]:
    """Place, format and text of each address of these formats, however deep; the value need not be checked yet."""
    if isinstance(value, str):
        if field.get("format") in wanted:
            yield loc, field["format"], value
    elif isinstance(value, list):
        for number, item in enumerate(value if "items" in field else ()):
            yield from addresses(field["items"], item, (*loc, number), wanted)
    elif isinstance(value, dict):
        for name, inner in field.get("properties", {}).items():
            yield from addresses(inner, value.get(name), (*loc, name), wanted)
