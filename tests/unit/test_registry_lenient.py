"""What fal's models tolerate, and nothing more."""

import math
from typing import Any

import pytest

from app.registry.catalog import Catalog
from app.registry.lenient import read_value

CHOICE = {"type": "string", "enum": ["5", "10"]}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
TEXT = {"type": "string"}
TRUTH = {"type": "boolean"}

READINGS = [
    (CHOICE, 5, "5"),
    (CHOICE, 10.0, "10"),
    (CHOICE, "5", "5"),
    (CHOICE, 5.5, 5.5),
    (CHOICE, True, True),
    (CHOICE, "5s", "5s"),
    (NUMBER, "0.5", 0.5),
    (NUMBER, " 1 ", 1.0),
    (NUMBER, "nan", "nan"),
    (NUMBER, "1e999", "1e999"),
    (NUMBER, "9" * 400, "9" * 400),
    (NUMBER, "", ""),
    (WHOLE, "7", 7),
    (WHOLE, "7.5", 7.5),
    (WHOLE, 7.0, 7),
    (WHOLE, 7.5, 7.5),
    (WHOLE, True, True),
    (WHOLE, math.inf, math.inf),
    (TEXT, 5, 5),
    (CHOICE, math.inf, math.inf),
    (TRUTH, "true", True),
    (TRUTH, "OFF", False),
    (TRUTH, 1, True),
    (TRUTH, 0.0, False),
    (TRUTH, 2, 2),
    (TRUTH, "maybe", "maybe"),
]


@pytest.mark.parametrize(("spec", "given", "read"), READINGS)
def test_a_value_is_read_as_fal_reads_it(spec: dict[str, Any], given: Any, read: Any) -> None:
    """A number for its text and a text for its number; anything else is left to validation."""
    found = read_value(spec, given)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize("strict", [False, True])
def test_unknown_fields_are_dropped_and_named(strict: bool) -> None:  # noqa: FBT001  a parameter of the test
    """Fields that only the prose documents count as unknown with the strict schema."""
    given = {"prompt": "x", "seed": 1, "aspect_ratio": "1:1", "duration": 10}
    known, dropped = Catalog.load().default.lenient(given, strict_schema=strict)
    assert dropped == (("seed", "aspect_ratio") if strict else ("seed",))
    assert known["duration"] == "10"
    assert given["duration"] == 10


def test_leniency_goes_down_into_lists_of_objects() -> None:
    """Their unknown fields are dropped, and named once for each; what is no object is left to validation."""
    model = Catalog.load().get("fal-ai/kling-video/v3/standard/image-to-video")
    shots = [{"index": 1, "prompt": "a", "duration": 3}, {"index": 2, "prompt": "b", "duration": "4"}, 7]
    known, dropped = model.lenient({"multi_prompt": shots, "elements": None}, strict_schema=False)
    assert known == {
        "multi_prompt": [{"prompt": "a", "duration": "3"}, {"prompt": "b", "duration": "4"}, 7],
        "elements": None,
    }
    assert dropped == ("multi_prompt.index", "multi_prompt.index")
    assert shots[0] == {"index": 1, "prompt": "a", "duration": 3}
