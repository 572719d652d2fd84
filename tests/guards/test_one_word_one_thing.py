"""One thing for each word: docs/glossary.md has the words."""

import ast
from collections import defaultdict

from app.store.script_loader import load, script_names
from tests.support.repo import parsed, python_files

RETIRED = {  # words that had many meanings, and what stands in their place
    "aside": "quarantine",
    "bell": "task queue",
    "books": "ledger",
    "flying": "in flight",
    "hint": "fal's webhook",
    "looks": "periodic task",
    "passes": "upload token",
    "regain": "recover",
    "ring": "raise an alarm, enqueue",
    "rung": "raised, enqueued",
    "standing": "the state of a limit",
    "standings": "the state of the line",
    "stretch": "page",
    "taken": "acquired",
    "told": "acknowledged, published",
}
OF_THE_WIRE = {"Aside", "aside", "AsideView", "oldest_aside_ms"}  # members of replies, a command and a key


def rooms() -> list[tuple[str, ast.Module]]:
    """Every module of app and workers; the emulator is a program of its own."""
    found = [path for path in python_files() if path.parts[0] in {"app", "workers"}]
    return [(str(path), parsed(path)) for path in found if "emulator" not in path.parts]


def test_a_class_has_its_name_for_itself() -> None:
    """A reader who meets `Outcome` knows which one; private ones, and types of a door's parameters, are local."""
    places = defaultdict(list)
    for path, tree in rooms():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_retired_words_are_in_no_name() -> None:
    """Of a module, a class, a function, a Lua script or what it takes."""
    taken = [(name, word) for name in script_names() for word in (name, *load(name).keys, *load(name).args)]
    found = [f"{name}.lua: {word}" for name, word in taken if _has(word)]
    for path, tree in rooms():
        names = [(path, path.rpartition("/")[2].removesuffix(".py"))]
        names += [
            (path, node.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        found += [f"{place}: {name}" for place, name in names if name not in OF_THE_WIRE and _has(name)]
    assert found == []


def _has(name: str) -> bool:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).split("_")
    return not RETIRED.keys().isdisjoint(words)
