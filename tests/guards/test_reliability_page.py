"""docs/reliability.md: every row of the fault matrix is there once, and the tests that it names exist."""

import pytest

from tests.support.pages import TEST, names_in, rows_of
from tests.support.tree import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = rows_of(PAGE, "UIC")
LAST = {"U": 29, "I": 25, "C": 27}
MATRIX = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
LATER = {"I10", "C19"}  # nothing is mirrored yet


def test_every_row_is_there_once_and_in_order() -> None:
    """U1 to U29, I1 to I25, C1 to C27."""
    assert [row for row, _ in ROWS] == MATRIX


@pytest.mark.parametrize("row", MATRIX)
def test_a_row_says_what_happens_what_is_done_and_what_shows_it(row: str) -> None:
    """Three cells, and a test by its name, or a sentence why there is none."""
    cells = dict(ROWS)[row]
    assert len(cells) == 3
    assert all(cells[:2])
    assert bool(TEST.search(cells[2])) == (row not in LATER)


@pytest.mark.parametrize(("path", "name"), sorted(set(TEST.findall(PAGE))))
def test_a_named_test_exists(path: str, name: str) -> None:
    """A renamed test takes its row along."""
    assert name in names_in(path)
