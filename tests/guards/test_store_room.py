"""Redis commands are only in app/store: no other code passes raw ones. Key names: the contract `keys`."""

import ast

from tests.support.repo import parsed, python_files


def test_no_act_outside_of_the_store_passes_commands() -> None:
    """Others log acts; a method of the store's decides what an act writes, and under which condition."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files()
        if path.parts[0] in {"app", "workers"} and path.parts[1] != "store"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and {keyword.arg for keyword in node.keywords} & {"writes", "require"}
    ]
    assert found == [], "give the store a method that does the whole act, and call that"
