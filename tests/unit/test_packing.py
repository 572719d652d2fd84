"""Packed records are small, complete when read, and newer fields win."""

import hashlib
import json
import re
from dataclasses import fields

import pytest

from app.domain.jobs import Order
from app.store.packing import BASE64_FORM, DICTIONARY, DROPPED, FACTS, FIELDS, FORM, MAX_CHARS, pack, unpacked
from tests.support.repo import ROOT

INPUT = json.dumps({"prompt": "Ein roter Drachen über den Dünen 🪁 " * 4, "image_url": "https://x.example/1.jpg"})
OUTPUT = (
    '{"video":{"url":"https://v3.fal.media/files/a/b.mp4","content_type":"video/mp4","file_name":"output.mp4"}}'
)
PERIODS = "1 2 3 4"


def read(packed: bytes) -> str:
    """As the store's clients read it."""
    return packed.decode("utf-8", "surrogateescape")


def record(packed: str, *, size: int = 64, **own: str) -> dict[str, str]:
    """A record with its packed block in pieces."""
    pieces = {f"z{start // size}": packed[start : start + size] for start in range(0, len(packed), size)}
    return {"id": "job_1", "periods": PERIODS, **pieces, **own}


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_what_is_packed_is_whole_again(size: int) -> None:
    """Every text, in any number of pieces; the rest of the record is kept."""
    texts = {"input": INPUT, "output": OUTPUT, "logs": "[]"}
    packed = read(pack(texts, {}))
    assert len(packed) < sum(map(len, texts.values())) * 0.8
    assert unpacked(record(packed, size=size)) == {"id": "job_1", "periods": PERIODS, **texts}
    apart = unpacked(record(packed, gateway_periods="5 6 7 8"))
    assert apart["periods"] == f"{PERIODS} 5 6 7 8"
    again = record(packed) | {"periods": f"{PERIODS} 5 6 7 8"}  # as a correction writes it
    assert unpacked(again)["periods"] == again["periods"]
    by_window = unpacked({"id": "job_1", "z0": packed, "start:minute": "1", "start:day": "2/3"})
    assert by_window == {
        "id": "job_1",
        "start:minute": "1",
        "start:day": "2/3",
        "starts": "minute=1 day=2/3",
        **texts,
    }


def test_a_field_of_its_own_is_newer() -> None:
    """A value that was written after the end wins."""
    assert unpacked(record(read(pack({"error": "old"}, {"model": "old"})), error="new"))["error"] == "new"
    assert unpacked(record(read(pack({"error": "old"}, {"model": "old"})), model="new"))["model"] == "new"


def test_what_a_job_keeps_of_its_submission_is_a_text_that_is_erased_or_a_fact() -> None:
    """A new member is one or the other (app/store/packing.py); user and token are needed to find the record."""
    assert {one.name for one in fields(Order)} - {*FIELDS, *FACTS} == {"user", "token"}


def test_facts_are_packed_by_position() -> None:
    """All of them, or some; the periods are complete, and an older reader's list may be shorter."""
    facts = {name: f"the {name}" for name in FACTS} | {"periods": f"{PERIODS} 5 6 7 8"}
    for known in (facts, {"nonce": "1"}):
        packed = unpacked({"status": "failed", "z0": read(pack({"input": INPUT}, known))})
        assert packed == {"status": "failed", "input": INPUT, **known}


def test_an_unpacked_record_is_left_alone() -> None:
    """Of an older version, or of a job that has not ended."""
    live = {"id": "job_1", "input": INPUT, "periods": f"{PERIODS} {PERIODS}"}
    assert unpacked(live) == live


@pytest.mark.parametrize("text", ["x" * MAX_CHARS, "two\nlines"])
def test_what_is_not_worth_it_is_not_packed(text: str) -> None:
    """Too long, or with a line break: the record is unchanged."""
    assert pack({"input": text}, {}) == b""


def test_a_fact_that_would_be_read_as_two_is_not_packed() -> None:
    """Tabs separate them."""
    assert pack({"input": INPUT}, {"trace_id": "a\tb"}) == b""


def test_the_dictionaries_and_the_order_of_facts_stay_as_they_are() -> None:
    """Records that are weeks old need them: a change needs a new format. New facts are added at the end."""
    assert (BASE64_FORM, FORM) == ("1", "2")
    assert hashlib.sha256(DICTIONARY).hexdigest().startswith("a74a4e594f2f4de4")
    assert hashlib.sha256(" ".join(FACTS[:22]).encode()).hexdigest().startswith("3fc5aee8054da610")
    old = unpacked(record("1w9CRqJCdWZKKbnQtAA=="))
    assert old["input"] == '{"prompt":"a kite","duration":"5"}'


def test_a_migration_drops_the_fields_that_an_end_drops() -> None:
    """Both have the list, in Python and in Lua."""
    script = (ROOT / "app/store/lua/lib/packing.lua").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^local DROPPED = \{(.*?)\}", script, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"(\w+) = true", listed)) == DROPPED
