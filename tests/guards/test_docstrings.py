"""Every test says in one line what it proves."""

import ast

from tests.support.repo import parsed, python_files


def test_every_test_says_what_is_true() -> None:
    """A test function has a docstring of one line."""
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path in python_files()
        if path.parts[0] == "tests" and path.name.startswith("test_")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if len((ast.get_docstring(node) or "").splitlines()) != 1
    ]
    assert not silent, "\n".join(silent)
