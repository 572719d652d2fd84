"""docs/reliability.md and docs/security.md: every row is there once, and the tests that it names exist."""

import ast
import re
from functools import cache

from tests.support.repo import ROOT

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PAGES = {  # the last number of each letter
    "docs/reliability.md": {"U": 29, "I": 26, "C": 27},
    "docs/security.md": {"S": 52, "B": 73},
}
LATER: set[str] = set()  # rows without a test
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's test functions; empty if there is no file."""
    if not (ROOT / path).is_file():
        return frozenset()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(name for name in functions if name.startswith("test_"))


def rows_of(page: str) -> list[tuple[str, list[str]]]:
    """The rows of a page's tables whose first cell is a letter and a number: this cell, and the others."""
    row = re.compile(rf"^\| ([{''.join(PAGES[page])}]\d+) \| (.+) \|$", re.MULTILINE)
    return [(name, [cell.strip() for cell in text.split(" | ")]) for name, text in row.findall(TEXTS[page])]


def test_every_row_is_there_once_and_in_order() -> None:
    """U1 to U29, I1 to I26, C1 to C27; S1 to S52, B1 to B73."""
    for page, last in PAGES.items():
        wanted = [f"{letter}{number}" for letter, end in last.items() for number in range(1, end + 1)]
        assert [row for row, _ in rows_of(page)] == wanted, page


def test_a_row_says_what_happens_what_is_done_and_what_shows_it() -> None:
    """Three cells, and a test's name, or a sentence why there is none."""
    wrong = [
        (page, row, cells)
        for page in PAGES
        for row, cells in rows_of(page)
        if len(cells) != 3 or not all(cells[:2]) or bool(TEST.search(cells[2])) == (row in LATER)
    ]
    assert wrong == []


def test_a_named_test_exists() -> None:
    """A row must not name a test that was renamed."""
    named = {found for text in TEXTS.values() for found in TEST.findall(text)}
    assert len(named) > 100
    assert sorted(f"{path}::{name}" for path, name in named if name not in names_in(path)) == []
