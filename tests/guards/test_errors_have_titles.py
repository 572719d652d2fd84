"""Every error code is in use, and has a title."""

import ast

from app.domain.errors import Code
from tests.support.repo import parsed, python_files


def used_codes() -> set[str]:
    """The names of all members of Code that are used in the program, apart from their definition."""
    return {
        node.attr
        for path in python_files()
        if path.parts[0] == "app"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code"
    }


def test_no_code_is_left_over() -> None:
    """An unused code would be documented for nothing."""
    assert {code.name for code in Code} - used_codes() == set()


def test_meanings_are_short_and_no_sentences() -> None:
    """A title is a phrase: no full stop, at most sixty characters (RFC 9457, 3.1.4: a short summary)."""
    assert [code for code in Code if code.meaning.endswith(".") or len(code.meaning) > 60] == []
