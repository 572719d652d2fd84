"""Crash points: the code and the matrix name the same ones."""

import re
from collections import Counter

from tests.crash.crash_points import EVERY, POINTS, WIRE, interleaved
from tests.support.repo import ROOT

CALL = re.compile(r"\bcrash_point\(([^)]*)\)")


def in_the_code() -> Counter[str]:
    """The argument of each `crash_point` in the program, as source text."""
    sources = [path for room in ("app", "workers") for path in (ROOT / room).rglob("*.py")]
    texts = [path.read_text("utf-8") for path in sources if path != ROOT / "app" / "crash.py"]
    return Counter(name for text in texts for name in CALL.findall(text))


def test_the_code_has_the_points_of_the_matrix_and_no_others() -> None:
    """Each point is once in the code, by its plain name, and has a row in the matrix."""
    assert in_the_code() == Counter(f'"{name}"' for name in POINTS)


def test_every_row_has_a_point_or_a_test_of_its_own() -> None:
    """C1 to C24, except C4 (a stream) and C19 (nothing is mirrored yet); each name has one meaning."""
    wanted = {f"C{number}" for number in range(1, 25)} - {"C4", "C19"}
    assert {point.row for point in EVERY.values()} == wanted
    assert not POINTS.keys() & WIRE.keys()
    assert sorted(interleaved()) == sorted(EVERY)
