"""What fal offers: an endpoint's OpenAPI document, read into the registry's form.

Everything that the registry's form can say is kept; a field that it cannot say is left out and named. Limits of
images, videos and audio are in fal's descriptions, in generated words ("Max file size: 30.0MB, Min width: 300px").
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMAS = "#/components/schemas/"
DEEPEST = 6  # levels of references and lists
MOST_ITEMS = 10  # of a list for which fal gives no limit
LONGEST_DESCRIPTION = 500
MEGABYTE = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_SCALARS = {"string", "number", "integer", "boolean"}
_LIMIT = re.compile(r"(Min|Max) (file size|width|height|aspect ratio|duration|fps): ([0-9.]{1,12})", re.IGNORECASE)


@dataclass(slots=True)
class Offered:
    """An endpoint's input and output in the registry's form.

    Attributes:
        fields: of the input, in fal's order.
        required: those that must be given.
        limits: by kind (`image`, `video`, `audio`), as far as descriptions state them.
        notes: what could not be read, a sentence each without a full stop.
    """

    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    output: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_openapi(document: Any, model_id: str) -> Offered | None:
    """The input and output of an endpoint; None when the document has no input of this endpoint."""
    schemas = _get(document, "components", "schemas")
    given = _named(document, model_id, "post", "requestBody", "content", "application/json", "schema", "$ref")
    made = _named(
        document, f"{model_id}/requests/{{request_id}}", "get", "responses", "200", "content", "application/json",
        "schema", "$ref",
    )  # fmt: skip
    reader = _Reader(schemas if isinstance(schemas, dict) else {})
    spec = reader.schemas.get(given)
    if not isinstance(spec, dict) or not isinstance(spec.get("properties"), dict):
        return None
    offered = reader.offered
    offered.fields, offered.required = reader.members(spec, "")
    output = reader.output(reader.schemas.get(made), DEEPEST)
    offered.output = output if "properties" in output else {"type": "object", "properties": {}}
    return offered


class _Reader:
    """Follows references within one document."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self.schemas = schemas
        self.offered = Offered()

    def members(self, spec: Mapping[str, Any], path: str, depth: int = DEEPEST) -> tuple[dict[str, Any], list[str]]:
        """The fields of an object in fal's order, and which of them are required."""
        properties = spec["properties"]
        order = spec.get("x-fal-order-properties")
        names = (
            [name for name in order if isinstance(name, str) and name in properties]
            if isinstance(order, list)
            else []
        )
        fields: dict[str, Any] = {}
        for name in dict.fromkeys([*names, *properties]):
            place = f"{path}{name}"
            if not _NAME.fullmatch(name):
                self.offered.notes.append("a field has a name that is not one of letters, digits and _")
                continue
            found = self.field(properties[name], place, depth)
            if found is None:
                self.offered.notes.append(f"{place} is of a form that the registry does not have")
            else:
                fields[name] = found
        return fields, _required(spec, fields)

    def field(self, raw: Any, place: str, depth: int) -> dict[str, Any] | None:
        """One field; None when the registry's form cannot say it."""
        spec = self.resolved(raw, depth)
        if spec is None or depth == 0:
            return None
        kind = spec.get("type")
        found: dict[str, Any] | None
        match kind:
            case "array":
                found = self._list(spec, place, depth)
            case "object" if isinstance(spec.get("properties"), dict) and spec["properties"]:
                fields, required = self.members(spec, f"{place}.", depth - 1)
                found = {"type": "object", "properties": fields, **({"required": required} if required else {})}
            case str() if kind in _SCALARS:
                found = self._scalar(spec, place)
            case _:
                found = None
        if found is None:
            return None
        self._note_limits(found, spec)
        if _fits(found, spec.get("default")):
            found["default"] = spec["default"]
        if isinstance(spec.get("description"), str) and spec["description"].strip():
            found["description"] = " ".join(spec["description"].split())[:LONGEST_DESCRIPTION]
        return found

    def _list(self, spec: Mapping[str, Any], place: str, depth: int) -> dict[str, Any] | None:
        items = self.field(spec.get("items"), f"{place}[]", depth - 1)
        if items is None:
            return None
        for ours in ("default", "description"):
            items.pop(ours, None)
        least, most = spec.get("minItems"), spec.get("maxItems")
        found: dict[str, Any] = {"type": "array", "items": items}
        if type(least) is int and least > 0:
            found["minItems"] = least
        return {**found, "maxItems": most if type(most) is int and most > 0 else MOST_ITEMS}

    def _scalar(self, spec: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        kind = spec["type"]
        choices = spec.get("enum", [spec["const"]] if "const" in spec else None)
        if kind == "string":
            if choices is not None:
                return {"type": "string", "enum": list(dict.fromkeys(choices))} if _all_text(choices) else None
            if (named := _format(place)) is not None:
                return {"type": "string", "format": named}
            most = spec.get("maxLength")
            return {"type": "string", **({"maxLength": most} if type(most) is int and most > 0 else {})}
        if choices is not None:
            whole = kind == "integer" and isinstance(choices, list) and all(type(one) is int for one in choices)
            return {"type": kind, "minimum": min(choices), "maximum": max(choices)} if whole and choices else None
        bounds = {name: spec[name] for name in ("minimum", "maximum") if type(spec.get(name)) in {int, float}}
        return {"type": kind, **({} if kind == "boolean" else bounds)}

    def resolved(self, raw: Any, depth: int) -> dict[str, Any] | None:
        """The schema behind references, `allOf` with one member, and `anyOf` with null."""
        if not isinstance(raw, dict) or depth == 0:
            return None
        if isinstance(raw.get("$ref"), str):
            beside = {name: value for name, value in raw.items() if name != "$ref"}
            found = self.resolved(self.schemas.get(raw["$ref"].removeprefix(SCHEMAS)), depth - 1)
            return None if found is None else {**found, **beside}
        for word in ("allOf", "anyOf", "oneOf"):
            if isinstance(raw.get(word), list):
                options = [one for one in raw[word] if not (isinstance(one, dict) and one.get("type") == "null")]
                beside = {name: value for name, value in raw.items() if name != word}
                found = self.resolved(options[0], depth - 1) if len(options) == 1 else None
                return None if found is None else {**found, **beside}
        return raw

    def output(self, raw: Any, depth: int) -> dict[str, Any]:
        """A schema of the output: types, members and descriptions."""
        spec = self.resolved(raw, depth) or {}
        found: dict[str, Any] = {
            name: spec[name] for name in ("type", "description") if isinstance(spec.get(name), str)
        }
        if isinstance(spec.get("properties"), dict) and depth > 1:
            inner = {name: self.output(one, depth - 1) for name, one in spec["properties"].items()}
            found["properties"] = inner
            required = _required(spec, inner)
            found |= {"required": required} if required else {}
        if isinstance(spec.get("items"), dict) and depth > 1:
            found["items"] = self.output(spec["items"], depth - 1)
        return found

    def _note_limits(self, found: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """The strictest limits of a kind of file, as the descriptions of its fields state them."""
        kind = str(found.get("format", "")).removesuffix("-url")
        if not kind or not isinstance(spec.get("description"), str):
            return
        limits = self.offered.limits.setdefault(kind, {})
        for bound, what, text in _LIMIT.findall(spec["description"]):
            name = f"{bound.lower()} {what.lower()}"
            try:
                value = float(text)
            except ValueError:
                continue
            strictest = max if bound.lower() == "min" else min
            limits[name] = strictest(limits[name], value) if name in limits else value


def _required(spec: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Which of these an object requires."""
    required = spec.get("required")
    return [name for name in names if isinstance(required, list) and name in required]


def _format(place: str) -> str | None:
    """The kind of address that a field holds, by its name."""
    name = place.removesuffix("[]").rpartition(".")[2]
    if not name.endswith(("_url", "_urls")):
        return None
    if "video" in name:
        return "video-url"
    return "audio-url" if "audio" in name or "voice" in name else "image-url"


def _fits(found: Mapping[str, Any], default: Any) -> bool:
    """True for a default that is a value of the field; null is none."""
    match found["type"]:
        case "string":
            return isinstance(default, str) and default in found.get("enum", (default,)) and "format" not in found
        case "boolean":
            return isinstance(default, bool)
        case "number":
            return type(default) in {int, float}
        case "integer":
            return type(default) is int
        case _:
            return False


def _all_text(choices: Any) -> bool:
    return isinstance(choices, list) and bool(choices) and all(isinstance(one, str) for one in choices)


def _named(document: Any, path: str, *members: str) -> str:
    """The name that the reference at this place ends with; empty without one."""
    reference = _get(document, "paths", f"/{path}", *members)
    return reference.removeprefix(SCHEMAS) if isinstance(reference, str) else ""


def _get(value: Any, *members: str) -> Any:
    for name in members:
        value = value.get(name) if isinstance(value, dict) else None
    return value
