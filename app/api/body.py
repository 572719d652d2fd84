"""Strict JSON bodies: what Python's parser lets pass and JSON forbids is refused, in a sentence.

NaN and Infinity, a member given twice, lone surrogates and absurd depth are errors; numbers are numbers.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.domain.errors import Malformed, Unprocessable, Violation, WrongMediaType, pointer

DEPTH = 20
DIGITS = 300  # of a whole number; a double ends at 309
MEMBERS = 1000  # of one object: many times what any request has
CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "dict_type": "wrong_type",
    "model_type": "wrong_type",
    "list_type": "wrong_type",
    "float_type": "wrong_type",
    "bool_type": "wrong_type",
    "string_too_long": "too_long",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "too_long": "too_long",
    "enum": "one_of",
}
SENTENCES = {"extra_forbidden": "This member is not known here.", "model_type": "This must be an object."}
Body = TypeVar("Body", bound=BaseModel)
Value = TypeVar("Value", dict[str, Any], list[Any])


class _Constant(ValueError):
    """NaN or Infinity."""


class _Twice(ValueError):
    """A member given twice."""


class _TooMany(ValueError):
    """An object with more members than anybody needs; checking each would cost seconds."""


def _refuse_constant(_: str) -> NoReturn:
    raise _Constant


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MEMBERS:
        raise _TooMany
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _depth(value: Any) -> int:
    """How deeply lists and objects are nested; stops counting beyond the limit."""
    depth, level = 0, [value]
    while level and depth <= DEPTH:
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; Malformed when it is not JSON, Unprocessable when it is something else."""
    value = _read(raw, "a JSON object")
    if not isinstance(value, dict):
        raise Unprocessable("The body must be a JSON object.", code="body_not_object")
    return _checked(raw, value)


def parse_array(raw: bytes) -> list[Any]:
    """The JSON array in `raw`, read as strictly; Unprocessable when it is something else."""
    value = _read(raw, "a JSON array")
    if not isinstance(value, list):
        raise Unprocessable("The body must be a JSON array.", code="body_not_array")
    return _checked(raw, value)


def _read(raw: bytes, wanted: str) -> Any:
    if not raw.strip():
        raise Malformed(f"There is no body; send {wanted}.", code="body_missing")
    if not json.detect_encoding(raw).startswith("utf-8"):
        raise WrongMediaType("Send the body in UTF-8.")
    return _parse(raw)


def _checked(raw: bytes, value: Value) -> Value:
    if _depth(value) > DEPTH:
        raise Malformed(f"The body is nested deeper than {DEPTH} levels.", code="too_deep")
    if b"\\u" in raw and not _is_unicode(value):
        raise Unprocessable("The text holds half of a surrogate pair.", code="invalid_unicode")
    return value


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode("utf-8"),
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except _Twice:
        raise Malformed("A member of the body is given twice.", code="duplicate_key") from None
    except _TooMany:
        raise Malformed(f"An object has more than {MEMBERS} members.", code="too_many_members") from None
    except _Constant:
        raise Malformed("NaN and Infinity are not JSON.", code="json_invalid") from None
    except RecursionError:
        raise Malformed(f"The body is nested deeper than {DEPTH} levels.", code="too_deep") from None
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.", code="json_invalid") from None
    except ValueError:
        raise Malformed("The body is not valid JSON.", code="json_invalid") from None


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _violation(error: ErrorDetails) -> Violation:
    code = CODES.get(error["type"], "invalid")
    sentence = error["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return Violation(pointer(error["loc"]), code, SENTENCES.get(error["type"], sentence))


def validated(model: type[Body], value: dict[str, Any] | list[Any]) -> Body:
    """The value as a model; Unprocessable with every violation, and without the input."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        violations = tuple(_violation(item) for item in found[:20])
        raise Unprocessable(violations[0].message, violations=violations) from None


def json_body(model: type[Body], *, optional: bool = False) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an object, as `model`; `optional`: no body is an empty object."""

    async def read(request: Request) -> Body:
        if optional and not await request.body():
            return validated(model, {})
        return validated(model, parse_object(await _raw(request)))

    return read


def json_array(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body, an array, as `model`, which is a RootModel of a list."""

    async def read(request: Request) -> Body:
        return validated(model, parse_array(await _raw(request)))

    return read


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object that nobody has a model of."""
    return parse_object(await _raw(request))


async def _raw(request: Request) -> bytes:
    """The body's bytes; WrongMediaType when they are not said to be plain JSON in UTF-8."""
    media_type, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise WrongMediaType("Send the body as `Content-Type: application/json`, in UTF-8.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WrongMediaType("Send the body without a Content-Encoding.")
    return await request.body()
