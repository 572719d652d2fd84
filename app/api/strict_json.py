"""Strict JSON: what Python's parser lets pass and JSON forbids is refused, in a sentence.

NaN and Infinity, a member given twice, lone surrogates and absurd depth are errors; numbers are numbers. What would
cost more than some milliseconds is refused before it is parsed, by counting bytes: the parser calls back into
Python for each number and each object.
"""

import json
import re
from typing import Any, NoReturn, TypeVar

from app.domain.errors import Code, Malformed, TooLarge, Unprocessable, WrongMediaType

DEPTH = 20
DIGITS = 300  # of a whole number; a double ends at 309
MEMBERS = 1000  # of one object: many times what any request has
ELEMENTS = (
    10_000  # of all lists and objects together, and as many quotation marks: a hundred times the largest input
)
MARKS = 4 * ELEMENTS  # quotation marks
PLAIN_BYTES = 256 * 1024  # of a body beside its data URIs; the longest texts of a request are a tenth of that
DATA = b"data:"
_LONE = re.compile("[\ud800-\udfff]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
Value = TypeVar("Value", dict[str, Any], list[Any])


class _Constant(ValueError):
    """NaN or Infinity."""


class _Twice(ValueError):
    """A member given twice."""


class _TooMany(ValueError):
    """An object with more members than anybody needs."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; Malformed when it is not JSON, Unprocessable when it is something else."""
    value = _read(raw, "a JSON object")
    if not isinstance(value, dict):
        raise Unprocessable("The body must be a JSON object.", code=Code.BODY_NOT_OBJECT)
    return _checked(raw, value)


def parse_array(raw: bytes) -> list[Any]:
    """The JSON array in `raw`, read as strictly; Unprocessable when it is something else."""
    value = _read(raw, "a JSON array")
    if not isinstance(value, list):
        raise Unprocessable("The body must be a JSON array.", code=Code.BODY_NOT_ARRAY)
    return _checked(raw, value)


def _read(raw: bytes, wanted: str) -> Any:
    _refuse_costly(raw)
    if not raw or raw.isspace():
        raise Malformed(f"There is no body; send {wanted}.", code=Code.BODY_MISSING)
    if not json.detect_encoding(raw).startswith("utf-8"):
        raise WrongMediaType("Send the body in UTF-8.")
    return _parse(raw)


def _refuse_costly(raw: bytes) -> None:
    """Count what costs time; what stands in a text counts as well, as nobody needs so many.

    A long body is divided at its quotation marks once, so that its data URIs are passed by in all that follows:
    what they hold is text, or stands behind a mistake. A backslash costs as much as a byte outside of data URIs,
    also within one: each is read by itself.
    """
    long = len(raw) > PLAIN_BYTES
    pieces = raw.split(b'"', MARKS + 1) if long else [raw]
    plain = b'"'.join([piece for piece in pieces if piece[: len(DATA)].lower() != DATA])
    marks = plain.count(b",") + plain.count(b"[") + plain.count(b"{")
    if marks > ELEMENTS or max(len(pieces) - 1, plain.count(b'"')) > MARKS:
        raise Malformed(f"The body has more than {ELEMENTS} members and items.", code=Code.TOO_MANY_MEMBERS)
    if long and len(plain) + (raw.count(b"\\") if b"\\" in raw else 0) > PLAIN_BYTES:
        raise TooLarge(f"The body is larger than {PLAIN_BYTES // 1024} KB beside its data URIs.")


def _checked(raw: bytes, value: Value) -> Value:
    if _depth(value) > DEPTH:
        raise Malformed(f"The body is nested deeper than {DEPTH} levels.", code=Code.TOO_DEEP)
    if b"\\" in raw and _SURROGATE.search(raw) and not _is_unicode(value):
        raise Unprocessable("The text holds half of a surrogate pair.", code=Code.INVALID_UNICODE)
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
        raise Malformed("A member of the body is given twice.", code=Code.DUPLICATE_KEY) from None
    except _TooMany:
        raise Malformed(f"An object has more than {MEMBERS} members.", code=Code.TOO_MANY_MEMBERS) from None
    except _Constant:
        raise Malformed("NaN and Infinity are not JSON.", code=Code.JSON_INVALID) from None
    except RecursionError:
        raise Malformed(f"The body is nested deeper than {DEPTH} levels.", code=Code.TOO_DEEP) from None
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.", code=Code.JSON_INVALID) from None
    except ValueError:
        raise Malformed("The body is not valid JSON.", code=Code.JSON_INVALID) from None


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


def _is_unicode(value: Any) -> bool:
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            if not item.isascii() and _LONE.search(item):
                return False
        elif isinstance(item, dict):
            rest += [*item, *item.values()]
        elif isinstance(item, list):
            rest += item
    return True
