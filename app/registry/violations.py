"""Converts pydantic's errors: a pointer, a stable code, and a sentence that never repeats the input."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.domain.errors import Violation, pointer
from app.registry.advice import advice
from app.registry.sisters import unknown_field

MAX_VIOLATIONS = 20

# pydantic's type of error → our code and a sentence. Before a lower-case one comes the field's name.
_SENTENCES = {
    "missing": ("missing", "is required."),
    "extra_forbidden": ("unknown_field", "There is no such field here."),
    "invalid_key": ("unknown_field", "There is no such field here."),
    "literal_error": ("one_of", "must be {expected}."),
    "finite_number": ("out_of_range", "must be a finite number."),
    "greater_than_equal": ("out_of_range", "must be at least {ge:.15g}."),
    "less_than_equal": ("out_of_range", "must be at most {le:.15g}."),
    "string_too_long": ("too_long", "must have at most {max_length} characters."),
    "too_long": ("too_long", "must have at most {max_length} items."),
    "too_short": ("too_short", "must have at least {min_length} items."),
    "string_unicode": ("invalid_unicode", "must be text without lone surrogates."),
    "string_type": ("wrong_type", "must be a string."),
    "float_type": ("wrong_type", "must be a number."),
    "int_type": ("wrong_type", "must be a whole number."),
    "bool_type": ("wrong_type", "must be true or false."),
    "list_type": ("wrong_type", "must be a list."),
    "dict_type": ("wrong_type", "must be an object."),
}
_CHOICE = re.compile(r"'([^']*)'")
_OTHER = ("wrong_type", "is not valid.")


class Fault(ValueError):
    """Raised by our own checks inside pydantic: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def violations(error: ValidationError, spec: Mapping[str, Any]) -> Iterator[Violation]:
    """The first 20 errors of pydantic as violations; `spec` is the schema that was checked against."""
    for found in error.errors(include_url=False)[:MAX_VIOLATIONS]:
        loc, ctx = found["loc"], found.get("ctx", {})
        code, message = _translated(found["type"], ctx)
        if message[0].islower():
            message = f"{_subject(loc)} {message}"
        if code == "unknown_field":
            message = unknown_field(str(loc[-1]), _field_at(spec, loc[:-1]).get("properties", {}))
        elif code in {"one_of", "wrong_type"}:
            message += advice(_field_at(spec, loc), found["input"])
        kind = "" if isinstance(ctx.get("error"), Fault) else found["type"]
        yield Violation(input_pointer(loc), code, message, kind, _ctx(ctx))


def _field_at(spec: Mapping[str, Any], loc: Sequence[int | str]) -> Mapping[str, Any]:
    """The schema of a place in the input; empty for a place that it does not know."""
    for part in loc:
        spec = spec.get("items", {}) if isinstance(part, int) else spec.get("properties", {}).get(part, {})
    return spec


def input_pointer(loc: Sequence[int | str]) -> str:
    """JSON pointer of a place in a model's input, as the submission holds it."""
    return pointer(loc, below="/input")


def _translated(kind: str, ctx: Mapping[str, Any]) -> tuple[str, str]:
    own = ctx.get("error")
    if isinstance(own, Fault):
        return own.code, own.message
    code, sentence = _SENTENCES.get(kind, _OTHER)
    return code, sentence.format(**ctx)


def _ctx(ctx: Mapping[str, Any]) -> dict[str, Any]:
    """The context that fal's models add: the bound, or the choices as a list."""
    shown = {name: ctx[name] for name in ("ge", "le", "min_length", "max_length") if name in ctx}
    if isinstance(ctx.get("expected"), str):
        shown["expected"] = _CHOICE.findall(ctx["expected"])
    return shown


def _subject(loc: Sequence[int | str]) -> str:
    """The innermost field's name, which is the schema's: sentences about unknown fields have no subject."""
    return next((part for part in reversed(loc) if isinstance(part, str)), "The input")
