"""Strict JSON bodies: what Python's parser lets pass and JSON forbids is refused, in a sentence.

NaN and Infinity, a member given twice, lone surrogates and absurd depth are errors; numbers are numbers.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.domain.errors import Malformed, Unprocessable, Violation, WrongMediaType

DEPTH = 20
DIGITS = re.compile(rb"[0-9]{400}")
CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "dict_type": "wrong_type",
    "float_type": "wrong_type",
    "bool_type": "wrong_type",
}
Body = TypeVar("Body", bound=BaseModel)


class _Constant(ValueError):
    """NaN or Infinity."""


class _Twice(ValueError):
    """A member given twice."""


def _refuse_constant(_: str) -> NoReturn:
    raise _Constant


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
    if not raw.strip():
        raise Malformed("There is no body; send a JSON object.", code="body_missing")
    value = _parse(raw)
    if not isinstance(value, dict):
        raise Unprocessable("The body must be a JSON object.", code="body_not_object")
    if _depth(value) > DEPTH:
        raise Malformed(f"The body is nested deeper than {DEPTH} levels.", code="too_deep")
    if b"\\u" in raw and not _is_unicode(value):
        raise Unprocessable("The text holds half of a surrogate pair.", code="invalid_unicode")
    return value


def _parse(raw: bytes) -> Any:
    if DIGITS.search(raw):
        raise Malformed("A number in the body has too many digits.", code="json_invalid")
    try:
        text = raw.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except _Twice:
        raise Malformed("A member of the body is given twice.", code="duplicate_key") from None
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
    pointer = "".join(f"/{part}" for part in error["loc"])
    code = CODES.get(error["type"], "invalid")
    sentence = error["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return Violation(pointer, code, "This member is not known here." if code == "unknown_field" else sentence)


def validated(model: type[Body], value: dict[str, Any]) -> Body:
    """The value as a model; Unprocessable with every violation, and without the input."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        violations = tuple(_violation(item) for item in found[:20])
        raise Unprocessable(violations[0].message, violations=violations) from None


def json_body(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body as `model`."""

    async def read(request: Request) -> Body:
        media_type, _, rest = request.headers.get("content-type", "").partition(";")
        charset = rest.strip().lower().removeprefix("charset=").strip('"')
        if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
            raise WrongMediaType("Send the body as `Content-Type: application/json`, in UTF-8.")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise WrongMediaType("Send the body without a Content-Encoding.")
        return validated(model, parse_object(await request.body()))

    return read
