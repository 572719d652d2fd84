"""Is an input schema in the form that `app/registry/plan.py` translates? For files that others write.

The plan's own errors are for those who write files of the registry; here every fault becomes a sentence that names
the field, and nothing that a file can hold raises anything else.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from app.registry.fields import below
from app.registry.plan import ALWAYS, FORMATS, KEYWORDS, object_plan
from app.registry.schema import PlainPlan

DEEPEST = 6  # levels of lists and objects
MOST_FIELDS = 300
LONGEST = {"maxLength": 100_000, "maxItems": 1000, "minItems": 1000, "minLength": 1}
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_TOP = {"properties", "required", "oneOf"}


def form_faults(spec: Any) -> Iterator[str]:
    """What keeps this input schema from being read, a sentence for each fault, without a full stop."""
    if not isinstance(spec, dict):
        yield "input must be an object with properties and required"
        return
    if foreign := spec.keys() - _TOP:
        yield f"input has {_shown(min(foreign))}, which is none of {', '.join(sorted(_TOP))}"
    found = list(_object_faults("input", {"required": None, **spec}, DEEPEST))
    if not found and _count(spec) > MOST_FIELDS:
        found = [f"input has more than {MOST_FIELDS} fields"]
    yield from found or _either_faults(spec)


def output_faults(spec: Any) -> Iterator[str]:
    """What keeps this output from being shown: it is a JSON Schema object, of which any keyword is kept."""
    if not isinstance(spec, dict) or not isinstance(spec.get("properties"), dict) or not _is_shown(spec, DEEPEST):
        yield "output must be a JSON Schema object with properties"


def when_faults(price: Any, fields: Mapping[str, Any]) -> Iterator[str]:
    """Conditions of a price that was read, on fields that cannot meet them: only lists have items."""
    for variant in price.get("variants", ()):
        for name, condition in variant.get("when", {}).items():
            of_list = isinstance(condition, dict)
            if of_list != (fields[name]["type"] == "array"):
                yield f"price: the condition on {name} must be {'a value' if of_list else 'minItems or contains'}"
            elif "contains" in (condition if of_list else {}) and fields[name]["items"]["type"] != "object":
                yield f"price: the condition on {name} asks for a member, and its items have none"


def _is_shown(spec: Any, depth: int) -> bool:
    """True for a schema whose properties and items are schemas, not too deep."""
    if not isinstance(spec, dict) or depth == 0 or not isinstance(spec.get("properties", {}), dict):
        return False
    return all(_is_shown(inner, depth - 1) for inner in below(spec))


def _either_faults(spec: Mapping[str, Any]) -> Iterator[str]:
    """`oneOf` names single fields that exist and are not required."""
    options = spec.get("oneOf", [])
    if not isinstance(options, list) or not all(
        isinstance(option, dict) and option.keys() == {"required"} and _is_names(option["required"])
        for option in options
    ):
        yield 'input.oneOf must be a list such as [{"required": ["prompt"]}, {"required": ["multi_prompt"]}]'
        return
    for names in (option["required"] for option in options):
        if len(names) != 1 or names[0] not in spec["properties"] or names[0] in spec["required"]:
            yield "input.oneOf must name one field of the input in each choice, which is not required by itself"
            return


def _object_faults(path: str, spec: Mapping[str, Any], depth: int) -> Iterator[str]:
    properties, required = spec.get("properties"), spec.get("required", [])
    if depth == 0:
        yield f"{path} is nested too deeply"
    elif not isinstance(properties, dict) or not properties:
        yield f"{path}.properties must be an object with at least one field"
    else:
        for name, field in properties.items():
            if not _FIELD.fullmatch(name):
                yield f"{path} has a field {_shown(name)}, which is not a name of letters, digits and _"
            else:
                yield from _field_faults(f"{path}.{name}", field, depth - 1)
        if not _is_names(required) or not set(required) <= properties.keys():
            yield f"{path}.required must be a list of the object's own fields"


def _field_faults(path: str, field: Any, depth: int) -> Iterator[str]:
    kind = field.get("type") if isinstance(field, dict) else None
    if not isinstance(kind, str) or kind not in KEYWORDS:
        yield f"{path}.type must be one of {', '.join(KEYWORDS)}"
        return
    if foreign := field.keys() - ALWAYS - KEYWORDS[kind]:
        yield f"{path} has {_shown(min(foreign))}, which is not a keyword for a field of type {kind}"
        return
    found = [*_keyword_faults(path, field)]
    match kind:
        case "array" if depth == 0:
            found.append(f"{path} is nested too deeply")
        case "array":
            found += _field_faults(f"{path}[]", field.get("items"), depth - 1)
        case "object":
            found += _object_faults(path, field, depth)
        case _:
            pass
    yield from found or _default_faults(path, field)


def _keyword_faults(path: str, field: Mapping[str, Any]) -> Iterator[str]:
    """Values of keywords that are not what the keyword takes."""
    wrong = [
        *(
            f"{name} must be a whole number up to {most}"
            for name, most in LONGEST.items()
            if not _is_size(field, name, most)
        ),
        *(f"{name} must be a number" for name in ("minimum", "maximum") if not _is_number(field, name)),
    ]
    if not wrong:
        for least, most in (("minimum", "maximum"), ("minItems", "maxItems")):
            if {least, most} <= field.keys() and field[least] > field[most]:
                wrong.append(f"{least} is above its {most}")
    if field["type"] == "array" and "maxItems" not in field:
        wrong.append("maxItems must say how long the list may be")
    if "enum" in field and not (field["enum"] and _is_names(field["enum"])):
        wrong.append("enum must be a list of different strings")
    if "format" in field and field["format"] not in FORMATS:
        wrong.append(f"format must be one of {', '.join(FORMATS)}")
    if not isinstance(field.get("description", ""), str):
        wrong.append("description must be text")
    yield from (f"{path}.{fault}" for fault in wrong)


def _is_size(field: Mapping[str, Any], name: str, most: int) -> bool:
    return name not in field or (type(field[name]) is int and 0 <= field[name] <= most)


def _is_number(field: Mapping[str, Any], name: str) -> bool:
    return name not in field or type(field[name]) in {int, float}


def _default_faults(path: str, field: Mapping[str, Any]) -> Iterator[str]:
    """A default is filled in without a check, so it must be a value that the field takes."""
    for name in ("default", "assumed"):
        if name in field:
            bare = {key: value for key, value in field.items() if key not in {"default", "assumed"}}
            adapter: TypeAdapter[Any] = TypeAdapter(
                Annotated[Any, PlainPlan(object_plan({"properties": {"a": bare}}))]
            )
            try:
                adapter.validate_python({"a": field[name]}, context={"private_urls": False})
            except ValidationError:
                yield f"{path}.{name} is not a value that the field takes"


def _is_names(value: Any) -> bool:
    """True for a list of different strings."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _count(spec: Mapping[str, Any]) -> int:
    """How many fields there are, however deep."""
    inner = below(spec)
    return len(inner) + sum(map(_count, inner))


def _shown(name: str) -> str:
    """A name from a file, as it may stand in a sentence."""
    return repr(name[:64])
