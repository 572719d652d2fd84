"""docs/reliability.md: every row of the fault matrix is there once, and the tests that it names exist."""

import ast
import re
from collections import Counter
from functools import cache

import pytest

from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([UIC]\d+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LAST = {"U": 29, "I": 25, "C": 27}
MATRIX = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
LATER = {"I10", "C19"}  # nothing is mirrored yet


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's test functions."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_row_is_there_once_and_in_order() -> None:
    """U1 to U29, I1 to I25, C1 to C27."""
    rows = [row for row, _ in ROW.findall(PAGE)]
    assert {row: count for row, count in Counter(rows).items() if count > 1} == {}
    assert rows == MATRIX


@pytest.mark.parametrize("row", MATRIX)
def test_a_row_says_what_happens_what_is_done_and_what_shows_it(row: str) -> None:
    """Three cells, and a test by its name, or a sentence why there is none."""
    (text,) = (text for name, text in ROW.findall(PAGE) if name == row)
    cells = [cell.strip() for cell in text.split(" | ")]
    assert len(cells) == 3
    assert all(cells[:2])
    assert bool(TEST.search(cells[2])) == (row not in LATER)


@pytest.mark.parametrize(("path", "name"), sorted(set(TEST.findall(PAGE))))
def test_a_named_test_exists(path: str, name: str) -> None:
    """A renamed test takes its row along."""
    assert name in names_in(path)
