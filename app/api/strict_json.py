"""Strict JSON: what JSON forbids and Python's parser accepts is refused with a sentence.

NaN and Infinity, duplicate members, lone surrogates and excessive depth are errors. A body that would take more
than some milliseconds is refused before it is parsed, by counting bytes: the parser calls Python for each number
and object. A byte order mark, which some editors write, is skipped.
"""

import codecs
import json
import re
from collections import Counter
from typing import Any, NoReturn, TypeVar

from app.domain.errors import Code, Malformed, TooLarge, Unprocessable, WrongMediaType, pointer

MAX_DEPTH = 20
MAX_DIGITS = 300  # of a whole number; a double ends at 309
MAX_MEMBERS = 1000  # of one object: many times what any request has
MAX_ELEMENTS = 10_000  # of all lists and objects together: a hundred times the largest input
MAX_QUOTES = 4 * MAX_ELEMENTS
MAX_ESCAPES = 1_100_000  # backslashes, each of which costs time; a file of 30 MB in wrapped base64 has as many
PLAIN_BYTES = 256 * 1024  # of a body without its data URIs: ten times the longest texts of a request
DATA = b"data:"
START = 64  # bytes in which a data URI begins, behind white space
OPENING = (b'{"', b'["', b"[{")  # no UTF-16 or UTF-32 begins so
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
Value = TypeVar("Value", dict[str, Any], list[Any])


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; Malformed when it is not JSON, Unprocessable when it is something else."""
    value = _read(raw, "a JSON object")
    if not isinstance(value, dict):
        raise Unprocessable("The body must be a JSON object.", code=Code.BODY_NOT_OBJECT)
    return _checked(raw, value)


def parse_array(raw: bytes) -> list[Any]:
    """The JSON array in `raw`; errors as in `parse_object`."""
    value = _read(raw, "a JSON array")
    if not isinstance(value, list):
        raise Unprocessable("The body must be a JSON array.", code=Code.BODY_NOT_ARRAY)
    return _checked(raw, value)


def _read(raw: bytes, wanted: str) -> Any:
    _refuse_costly(raw)
    if not raw.startswith(OPENING):
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if not raw or raw.isspace():
            raise Malformed(f"There is no body; send {wanted}.", code=Code.BODY_MISSING)
        if not json.detect_encoding(raw).startswith("utf-8"):
            raise WrongMediaType("Send the body in UTF-8.")
    return _parse(raw)


def _refuse_costly(raw: bytes) -> None:
    """Malformed or TooLarge for a body that is costly to parse; characters inside texts count too.

    A long body is split at its quotation marks once, so that its data URIs are not searched. Backslashes count
    wherever they are, because the parser handles each one separately.
    """
    long = len(raw) > PLAIN_BYTES
    pieces = raw.split(b'"', MAX_QUOTES + 1) if long else [raw]
    plain = b'"'.join([piece for piece in pieces if piece[:START].lstrip()[: len(DATA)].lower() != DATA])
    elements = plain.count(b",") + plain.count(b"[") + plain.count(b"{")
    if elements > MAX_ELEMENTS or max(len(pieces) - 1, plain.count(b'"')) > MAX_QUOTES:
        raise Malformed(f"The body has more than {MAX_ELEMENTS} members and items.", code=Code.TOO_MANY_MEMBERS)
    if long and len(plain) > PLAIN_BYTES:
        raise TooLarge(f"The body is larger than {PLAIN_BYTES // 1024} KB beside its data URIs.")
    if long and raw.count(b"\\") > MAX_ESCAPES:
        raise TooLarge(f"The body has more than {MAX_ESCAPES} backslashes; send base64 in one line.")


def _checked(raw: bytes, value: Value) -> Value:
    flat = len(raw) <= PLAIN_BYTES and raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH  # faster than a look inside
    if not flat and _depth(value) > MAX_DEPTH:
        raise _too_deep()
    if b"\\" in raw and _SURROGATE.search(raw) and not _is_unicode(value):
        raise Unprocessable("The text holds half of a surrogate pair.", code=Code.INVALID_UNICODE)
    return value


def _parse(raw: bytes) -> Any:
    try:
        return _decode(raw.decode("utf-8"))
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.", code=Code.JSON_INVALID) from None
    except ValueError:
        raise Malformed("The body is not valid JSON.", code=Code.JSON_INVALID) from None


def _too_deep() -> Malformed:
    return Malformed(f"The body is nested deeper than {MAX_DEPTH} levels.", code=Code.TOO_DEEP)


def _refuse_constant(_: str) -> NoReturn:
    raise Malformed("NaN and Infinity are not JSON.", code=Code.JSON_INVALID)


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("too many digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise Malformed(f"An object has more than {MAX_MEMBERS} members.", code=Code.TOO_MANY_MEMBERS)
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        named = pointer((twice,))[1:] or "A member"
        raise Malformed(f"{named} is given twice in one object of the body.", code=Code.DUPLICATE_KEY)
    return made


# Made once: `json.loads` would make one for each body.
_decode = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant, object_pairs_hook=_object).decode


def _depth(value: Any) -> int:
    """How deeply lists and objects are nested, counted up to just above the limit."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
