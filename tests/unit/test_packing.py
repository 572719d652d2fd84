"""Packed records: small, whole again, and never in the way of a newer field."""

import hashlib
import json

import pytest

from app.store.packing import DICTIONARY, FORM, MOST, pack, unpacked

INPUT = json.dumps({"prompt": "Ein roter Drachen über den Dünen 🪁 " * 4, "image_url": "https://x.example/1.jpg"})
OUTPUT = (
    '{"video":{"url":"https://v3.fal.media/files/a/b.mp4","content_type":"video/mp4","file_name":"output.mp4"}}'
)
PERIODS = "1 2 3 4"


def record(packed: str, *, size: int = 64, **own: str) -> dict[str, str]:
    """A record with what is packed in pieces."""
    pieces = {f"z{start // size}": packed[start : start + size] for start in range(0, len(packed), size)}
    return {"id": "job_1", "periods": PERIODS, **pieces, **own}


@pytest.mark.parametrize("size", [64, 10_000])
def test_what_is_packed_is_whole_again(size: int) -> None:
    """Every text, in any number of pieces; the rest of the record stays."""
    texts = {"input": INPUT, "output": OUTPUT, "logs": "[]"}
    packed = pack(texts)
    assert len(packed) < sum(map(len, texts.values())) * 0.8
    assert unpacked(record(packed, size=size)) == {"id": "job_1", "periods": f"{PERIODS} {PERIODS}", **texts}
    apart = unpacked(record(packed, gateway_periods="5 6 7 8"))
    assert apart["periods"] == f"{PERIODS} 5 6 7 8"


def test_a_field_of_its_own_is_newer() -> None:
    """What was written after the end counts."""
    assert unpacked(record(pack({"error": "old", "output": OUTPUT}), error="new"))["error"] == "new"


def test_an_unpacked_record_is_left_alone() -> None:
    """Of an older version, or of a job that has not ended."""
    live = {"id": "job_1", "input": INPUT, "periods": f"{PERIODS} {PERIODS}"}
    assert unpacked(live) == live


@pytest.mark.parametrize("text", ["x" * MOST, "two\nlines"])
def test_what_is_not_worth_it_is_not_packed(text: str) -> None:
    """Too long, or with a line break: the record stays as it is."""
    assert pack({"input": text}) == ""
    assert pack({}) == ""


def test_the_dictionary_stays_as_it_is() -> None:
    """Records that are weeks old need it: another dictionary takes another form."""
    assert FORM == "1"
    assert hashlib.sha256(DICTIONARY).hexdigest().startswith("3441888cdc8bc23c")
    old = unpacked(record("1w9CRqJCdWZKKbnQtAA=="))
    assert old["input"] == '{"prompt":"a kite","duration":"5"}'
