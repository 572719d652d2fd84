"""Foreign JSON always becomes something that can be stored, written and shown."""

import json
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.fal_addresses import FalHosts
from app.domain.foreign_json import MAX_DEPTH, MAX_VALUES, read_json, read_units
from app.fal.protocol import Result, parse_json, read_output, read_progress
from app.store.records import write_fields
from tests.unit.test_judge import job
from workers.finalize import judge

HOSTS = FalHosts.of_settings(queue_url="https://queue.fal.run", rest_url="https://rest.fal.ai")
CLIP = "https://v3.fal.media/files/a.mp4"
ODD_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)  # includes lone surrogates
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("detail", "error_type", "video", "status", "logs", "loc", "msg", "type", "ctx", "url", "file_name")
SHAPES = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)


def strict(value: Any) -> str:
    """Strict JSON in UTF-8, or an error."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode().decode()


@pytest.mark.parametrize("text", ["5", "0", "7.484076433", "1" * 24])
def test_billable_units_are_kept_as_fal_wrote_them(text: str) -> None:
    """A decimal number."""
    assert read_units(text) == text


@pytest.mark.parametrize("text", [None, "", "1" * 25, "-5", "5 s", "1e3", ".5", "5.", "\u0665", "5\n", "NaN"])
def test_billable_units_that_are_none_are_dropped(text: str | None) -> None:
    """Nothing else may stand in a header of ours, or be counted with."""
    assert read_units(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d"', "�"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\ude00\ud83d"', "��"),
        (r'{"\ud83d": 1}', {"�": 1}),
        ("NaN", None),
        ("[Infinity, -Infinity, 1e999, -1e999, 1.5]", [None, None, None, None, 1.5]),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), None),
        ("1" * 5000, None),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (" \n1 ", 1),
    ],
)
def test_what_cannot_be_written_becomes_harmless(text: str, value: Any) -> None:
    """A lone surrogate becomes U+FFFD; a number outside 64 bits becomes null."""
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    ["[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * 100_000, "[" + "0," * MAX_VALUES + "0]", "{", "", "1 2"],
    ids=["deep", "deeper", "many", "half", "nothing", "two"],
)
def test_what_is_too_much_is_no_json(text: str) -> None:
    """Depth and the number of values are limited."""
    with pytest.raises(ValueError, match=r"nested|many|Expecting|Extra"):
        read_json(text)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": "\xc3\xa9"}', {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        (b'{"a": "\xf0\x9f\x98"}', {"a": "�"}),
        (b'{"a": "\xed\xa0\xbd"}', {"a": "���"}),
        (b"\xff\xfe", None),
        (b"", None),
        (b"<html>", None),
    ],
)
def test_bytes_are_read_as_text_of_some_kind(body: bytes, value: Any) -> None:
    """A truncated character is replaced, and the rest of the answer is kept."""
    assert parse_json(body) == value


@given(ODD.map(json.dumps))
def test_everything_that_is_read_can_be_written(text: str) -> None:
    """Strict JSON, in UTF-8."""
    strict(read_json(text))


@given(SHAPES, st.integers(100, 999), st.booleans())
def test_any_result_ends_its_job_with_what_can_be_stored(shape: Any, status: int, beside: bool) -> None:  # noqa: FBT001  drawn
    """No shape breaks the verdict; what is kept of it is small, strict JSON."""
    answer = {"video": {"url": CLIP}, **shape} if beside and isinstance(shape, dict) else shape
    body = parse_json(json.dumps(answer).encode())
    end, charge, error, output = judge(job(), Result(status, body, None), hosts=HOSTS)
    written = write_fields({"error": error, "output": output})
    assert end.ended
    assert charge
    for text in written[1::2]:
        assert len(text) < 20_000
        json.loads(text, parse_constant=pytest.fail)


@given(SHAPES)
def test_any_status_is_progress_that_can_be_stored(shape: Any) -> None:
    """The same for what a poll keeps."""
    body = json.dumps({"status": "IN_PROGRESS", **shape} if isinstance(shape, dict) else shape).encode()
    progress = read_progress(body)
    strict([progress.logs, progress.unknown_status, progress.queue_position])
    pydantic_core.to_json(progress.logs)


@pytest.mark.parametrize(
    ("member", "value", "kept"),
    [
        ("file_name", "n" * 900_000, "n" * 255),
        ("file_name", ["a"], None),
        ("content_type", "video/mp4", "video/mp4"),
        ("content_type", "video/mp4; codecs=avc1", "video/mp4; codecs=avc1"),
        ("content_type", "v" * 900_000, None),
        ("content_type", "video/mp4\r\nX: y", None),
        ("file_size", 7, 7),
        ("file_size", True, None),
        ("file_size", -1, None),
        ("file_size", 10**400, None),
        ("file_size", 1 << 60, None),
        ("file_size", 1.5, None),
    ],
)
def test_a_clips_other_members_are_well_formed_or_left_out(member: str, value: Any, kept: Any) -> None:
    """The clip is shown in any case."""
    body = parse_json(json.dumps({"video": {"url": CLIP, member: value}}).encode())
    assert read_output(body, hosts=HOSTS) == {"video": {"url": CLIP, **({} if kept is None else {member: kept})}}
