"""Pages of docs/ whose rows name the tests that show them."""

import ast
import re
from functools import cache

from tests.support.tree import ROOT

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's test functions."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def rows_of(page: str, letters: str) -> list[tuple[str, list[str]]]:
    """The rows of a page's tables whose first cell is a letter and a number: that, and the others."""
    row = re.compile(rf"^\| ([{letters}]\d+) \| (.+) \|$", re.MULTILINE)
    return [(name, [cell.strip() for cell in text.split(" | ")]) for name, text in row.findall(page)]
