"""Translates a schema in a model's file to a core schema of pydantic, here called plan.

Keywords of the subset: `type` (string, number, integer, boolean, array, object), `enum` (of strings),
`default`, `minimum`, `maximum`, `minLength` (1), `maxLength`, `items`, `minItems`, `maxItems`, `properties`,
`required`, `description`, `format` (`image-url`, `video-url`, `audio-url`), `documented` (`schema`, `prose`,
`unverified`), `assumed` (fal's own default where it is not sent: the price needs it), and at the top
`oneOf: [{"required": [a]}, {"required": [b]}]`, which means exactly one of a and b.

A string without `enum` or `format` is text: at most `maxLength` code points (2,500 unless the file says another
number), no control characters but line feed and tab, no lone surrogates, and with `minLength` something visible.
Line ends of other systems become line feeds first (`app/registry/texts.py`).
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationInfo

from app.domain.addresses import tidied
from app.registry.texts import mended
from app.registry.urls import url_fault
from app.registry.violations import Fault

LONGEST_TEXT = 2500  # code points: the limit of Kling's older models for a prompt, as observed at fal
FORMATS = ("image-url", "video-url", "audio-url")
ALWAYS = {"type", "default", "description", "documented", "assumed"}
KEYWORDS = {
    "string": {"enum", "minLength", "maxLength", "format"},
    "number": {"minimum", "maximum"},
    "integer": {"minimum", "maximum"},
    "boolean": frozenset[str](),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required"},
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Anything but white space and invisible characters: joiners, direction marks, fillers, selectors.
_VISIBLE = re.compile(
    r"[^\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)

Plan = dict[str, Any]  # pydantic-core reads its schemas as plain dicts
_STRING: Plan = {"type": "str", "strict": True}


def object_plan(spec: Mapping[str, Any]) -> Plan:
    """The plan for an object: only the fields it names, in their order; ValueError for a foreign keyword."""
    required = spec.get("required", ())
    fields = {
        name: {"type": "typed-dict-field", "schema": _plan(name, field), "required": name in required}
        for name, field in spec["properties"].items()
    }
    return {"type": "typed-dict", "fields": fields, "extra_behavior": "forbid", "strict": True}


def _plan(name: str, spec: Mapping[str, Any]) -> Plan:
    kind = spec["type"]
    if foreign := spec.keys() - ALWAYS - KEYWORDS[kind]:
        raise ValueError(f"{name}: {min(foreign)} is not a keyword for a field of type {kind}")
    plan = _typed(name, kind, spec)
    return {"type": "default", "schema": plan, "default": spec["default"]} if "default" in spec else plan


def _typed(name: str, kind: str, spec: Mapping[str, Any]) -> Plan:
    match kind:
        case "string":
            return _string(name, spec)
        case "number":
            return {"type": "float", "strict": True, "allow_inf_nan": False, **_bounds(spec)}
        case "integer":
            return {"type": "int", "strict": True, **_bounds(spec)}
        case "boolean":
            return {"type": "bool", "strict": True}
        case "array":
            lengths = {"min_length": spec.get("minItems", 0), "max_length": spec["maxItems"]}
            return {"type": "list", "strict": True, "items_schema": _plan(name, spec["items"]), **lengths}
        case _:
            return object_plan(spec)


def _bounds(spec: Mapping[str, Any]) -> Plan:
    return {ours: spec[theirs] for ours, theirs in (("ge", "minimum"), ("le", "maximum")) if theirs in spec}


def _string(name: str, spec: Mapping[str, Any]) -> Plan:
    if "enum" in spec:
        # Two steps, so that `5` must be a string and `"6"` one of the choices.
        return {"type": "chain", "steps": [_STRING, {"type": "literal", "expected": spec["enum"]}]}
    if "format" in spec:
        if spec["format"] not in FORMATS:
            raise ValueError(f"{name}: {spec['format']} is not a known format")
        return _followed_by(_STRING, {"type": "with-info", "function": _url})
    check = _visible_text if spec.get("minLength") else _text
    text = _followed_by(_STRING, {"type": "no-info", "function": check})
    # Its length is counted last: two characters of a line end are one after `check`.
    return {"type": "chain", "steps": [text, {"type": "str", "max_length": spec.get("maxLength", LONGEST_TEXT)}]}


def _followed_by(schema: Plan, function: Plan) -> Plan:
    return {"type": "function-after", "schema": schema, "function": function}


def _text(value: str) -> str:
    if _CONTROL.search(value):
        value = mended(value)
        if _CONTROL.search(value):
            raise Fault("control_char", "must not hold control characters other than line feeds and tabs.")
    return value


def _visible_text(value: str) -> str:
    value = _text(value)
    if not _VISIBLE.search(value):
        raise Fault("empty", "must say something.")
    return value


def _url(value: str, info: ValidationInfo[dict[str, bool]]) -> str:
    private = info.context["private_urls"]
    fault = url_fault(value, private=private)
    if fault is not None and (tidy := tidied(value)) != value:
        value, fault = tidy, url_fault(tidy, private=private)
    if fault is not None:
        raise Fault(*fault)
    return value
