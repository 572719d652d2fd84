"""Every error code is in use, and has a title."""

import ast
import re

from app.domain import errors
from app.domain.errors import Code, FilmgateError
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


def test_the_drawn_tree_has_every_class_with_its_usual_code() -> None:
    """The docstring of the module is where a reader looks for them."""
    drawn = dict(re.findall(r"── (\w+) +\d{3}(?:  (\w+))?", errors.__doc__ or ""))
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, FilmgateError)]
    usual = {one.__name__: one.code.value for one in kinds if one is not FilmgateError}
    assert drawn == {**usual, "Unavailable": ""}  # it has many reasons, and a code for those that have none
