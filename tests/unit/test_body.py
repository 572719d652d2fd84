"""The strict reader of JSON bodies."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from app.api.body import validated
from app.api.strict_json import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_ELEMENTS,
    MAX_ESCAPES,
    MAX_MEMBERS,
    PLAIN_BYTES,
    parse_object,
)
from app.domain.errors import FilmgateError, Malformed, TooLarge, Unprocessable, WrongMediaType

REFUSED: dict[str, tuple[bytes, type[FilmgateError], str]] = {
    "nothing": (b"", Malformed, "body_missing"),
    "white space": (b"\t\r\n ", Malformed, "body_missing"),
    "word": (b"hello", Malformed, "json_invalid"),
    "list": (b"[{}]", Unprocessable, "body_not_object"),
    "deep list": (b"[" * MAX_ELEMENTS, Malformed, "too_deep"),
    "more brackets than elements": (b"[" * (MAX_ELEMENTS + 1), Malformed, "too_many_members"),
    "more items than elements": (b'{"a": [0' + b",0" * MAX_ELEMENTS + b"]}", Malformed, "too_many_members"),
    "much text": (b'{"a": "' + b"a" * PLAIN_BYTES + b'"}', TooLarge, "payload_too_large"),
    "much text beside a data URI": (
        b'{"a": "data:' + b"A" * 9_000 + b'", "b": "' + b"a" * PLAIN_BYTES + b'"}',
        TooLarge,
        "payload_too_large",
    ),
    "much that is escaped in a data URI": (
        b'{"a": "data:' + b"\\/" * (MAX_ESCAPES + 1) + b'"}',
        TooLarge,
        "payload_too_large",
    ),
    "lists that a data URI would hide, if it were one": (
        b'{"a": ""data:' + b"[" * PLAIN_BYTES + b'"}',
        Malformed,
        "json_invalid",
    ),
    "lists behind a long data URI": (
        b'{"a": "data:' + b"A" * PLAIN_BYTES + b'", "b": ' + b"[" * (MAX_ELEMENTS + 1),
        Malformed,
        "too_many_members",
    ),
    "quotation marks between data URIs": (
        b'{"a": [' + b'"data:", ' * (2 * MAX_ELEMENTS + 1) + b'"' + b"data:" * PLAIN_BYTES,
        Malformed,
        "too_many_members",
    ),
    "NaN": (b'{"a": NaN}', Malformed, "json_invalid"),
    "Infinity": (b'{"a": [-Infinity]}', Malformed, "json_invalid"),
    "twice": (b'{"a": {"b": 1, "b": 1}}', Malformed, "duplicate_key"),
    "half a pair": (b'{"a": ["\\ud83d"]}', Unprocessable, "invalid_unicode"),
    "half a pair in a name": (b'{"\\ude00": 1}', Unprocessable, "invalid_unicode"),
    "not UTF-8": (b'{"a": "\xff"}', Malformed, "json_invalid"),
    "only a byte order mark": (b"\xef\xbb\xbf\n", Malformed, "body_missing"),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + b"{}", Malformed, "json_invalid"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), WrongMediaType, "unsupported_media_type"),
    "UTF-32": ('{"a": 1}'.encode("utf-32-be"), WrongMediaType, "unsupported_media_type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_json_object_is_refused(case: str) -> None:
    """Each with its error and code."""
    raw, error, code = REFUSED[case]
    with pytest.raises(error) as caught:
        parse_object(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "shown"), [("b", "b"), ("\\u0062", "b"), ("x" * 500, "A member"), ("\\ud83d", "A member")]
)
def test_what_is_given_twice_is_named(name: str, shown: str) -> None:
    """The problem's page says so; a name that is long or cannot be printed is left out."""
    with pytest.raises(Malformed) as caught:
        parse_object(f'{{"a": {{"c": 1, "{name}": 1, "{name}": 2}}}}'.encode())
    assert caught.value.message == f"{shown} is given twice in one object of the body."


@pytest.mark.parametrize("over", [0, 1])
def test_the_limits_are_exact(over: int) -> None:
    """Depth, members and digits are accepted up to the limit, and not one more."""
    bodies = [
        b'{"a":' * (MAX_DEPTH + over - 1) + b"{}" + b"}" * (MAX_DEPTH + over - 1),
        json.dumps({f"m{number}": 0 for number in range(MAX_MEMBERS + over)}).encode(),
        b'{"a": ' + b"9" * (MAX_DIGITS + over) + b"}",
    ]
    for raw in bodies:
        if over:
            with pytest.raises(Malformed):
                parse_object(raw)
        else:
            assert parse_object(raw)


def test_a_pair_of_surrogates_is_one_character() -> None:
    """An escaped pair is an emoji, not an error."""
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_a_byte_order_mark_is_skipped() -> None:
    """Some editors and PowerShell begin a file with it."""
    assert parse_object(b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "é"}
    assert parse_object(b'\xef\xbb\xbf \n{"a": 1}') == {"a": 1}


def test_digits_in_text_are_no_number() -> None:
    """The limit of digits applies only to numbers."""
    assert parse_object(b'{"a": "' + b"7" * 5000 + b'"}') == {"a": "7" * 5000}


def test_a_data_uri_may_be_long() -> None:
    """Megabytes of image are accepted, even with the escaped slashes that some encoders write."""
    raw = b'{"a": "DATA:image/png;base64,' + (b"A" * 60 + b"\\/") * 16_000 + b'"}'
    assert len(parse_object(raw)["a"]) > 3 * PLAIN_BYTES


def test_a_data_uri_may_be_wrapped() -> None:
    """As MIME wraps base64, and behind white space; without the URI as much text is too large."""
    raw = b'{"a": " data:image/png;base64,' + (b"A" * 76 + b"\\r\\n") * 140_000 + b'"}'
    assert parse_object(raw)["a"].count("\r\n") == 140_000
    with pytest.raises(TooLarge):
        parse_object(raw.replace(b"data:", b"text:"))


BODIES = {
    "zeros": b'{"x": [' + b"0," * 3_950_000 + b"0]}",
    "lists": b'{"x": [' + b"[]," * 2_600_000 + b"[]]}",
    "objects": b'{"x": [' + b'{"a":1},' * 980_000 + b"{}]}",
    "quotes": b'{"x": "data:' + b'\\"' * 3_950_000 + b'"}',
    "escapes": b'{"x": "' + b"\\u0041" * 1_300_000 + b'"}',
    "escapes in a data URI": b'{"x": "data:' + b"\\u0041" * 1_300_000 + b'"}',
    "data URIs": b'{"x": "' + b'"data:' * 1_300_000 + b'"}',
    "lists behind a mistake": b'{"x": ""data:' + b"[]," * 2_600_000 + b'0"}',
    "digits": b'{"x": 0.' + b"1" * 7_900_000 + b"}",
    "spaces": b" " * 7_900_000 + b"{}",
    "as many zeros as may be": b'{"x": [' + b"0," * (MAX_ELEMENTS - 10) + b"0]}",
    "as many objects as may be": b'{"x": [' + b"{}," * (MAX_ELEMENTS // 2 - 10) + b"{}]}",
    "as many escapes as may be": b'{"x": "data:' + (b"A" * 4 + b"\\n") * (MAX_ESCAPES - 10) + b'"}',
    "as long a data URI as may be": b'{"x": "data:' + b"A" * 7_900_000 + b'", "y": "\\ud83d\\ude00"}',
}


@pytest.mark.parametrize("case", BODIES)
def test_no_body_is_dear_to_read(case: str) -> None:
    """At most 0.1 s of CPU, 50 ms on an idle machine; the best of three, because other processes run too."""
    spent = []
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(Malformed, TooLarge):
            parse_object(BODIES[case])
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.1, spent


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,  # far below the limit of the depth
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), plain, max_size=5), st.booleans())
def test_every_sound_object_reads_back(value: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001 - drawn
    """What is written as JSON reads back unchanged, escaped or not."""
    assert parse_object(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    """The result is an object or one of our errors."""
    with contextlib.suppress(Malformed, Unprocessable, WrongMediaType):
        assert isinstance(parse_object(raw), dict)


class Example(BaseModel):
    """A body."""

    model_config = ConfigDict(strict=True, extra="forbid")

    count: int
    names: dict[str, int] = {}


SECRET = "kan4rie"


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ({}, "/count", "missing"),
        ({"count": SECRET}, "/count", "wrong_type"),
        ({"count": 1, "other": SECRET}, "/other", "unknown_field"),
        ({"count": 1, "a/b~c": SECRET}, "/a~1b~0c", "unknown_field"),
        ({"count": 1, SECRET * 100: 1}, "", "unknown_field"),
        ({"count": 1, "\u202e" + SECRET: 1}, "", "unknown_field"),
        ({"count": 1, "names": {SECRET * 100: "x"}}, "/names", "wrong_type"),
    ],
)
def test_a_violation_says_where_and_never_what(value: dict[str, Any], pointer: str, code: str) -> None:
    """A JSON pointer, escaped (RFC 6901), without the value and without malformed names."""
    with pytest.raises(Unprocessable) as caught:
        validated(Example, value)
    (violation,) = caught.value.violations
    assert (violation.pointer, violation.code) == (pointer, code)
    assert SECRET not in violation.message + violation.pointer + caught.value.message


@pytest.mark.parametrize(("name", "meant"), [("cuont", "count"), ("name", "names"), ("zebra", "")])
def test_an_unknown_member_names_the_one_that_is_meant(name: str, meant: str) -> None:
    """A letter too few or in the wrong place is seen; nothing is suggested where nothing is near."""
    with pytest.raises(Unprocessable) as caught:
        validated(Example, {"count": 1, name: 2})
    assert caught.value.violations[0].message == (
        f"This member is not known here; is {meant} meant?" if meant else "This member is not known here."
    )


def test_at_most_twenty_violations_are_named() -> None:
    """A body with a thousand errors gets a short answer."""
    with pytest.raises(Unprocessable) as caught:
        validated(Example, {f"m{number}": 1 for number in range(1000)})
    assert len(caught.value.violations) == 20
