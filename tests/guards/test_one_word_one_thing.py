"""One thing for each word: docs/glossary.md has the words."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from app.store.script_loader import load, script_names
from tests.support.repo import ROOT, parsed, python_files

RETIRED = {  # words that had many meanings, and their replacements
    "aside": "quarantine",
    "asking": "submission",
    "bearer": "token",
    "bell": "task queue",
    "books": "ledger",
    "bringer": "uploader",
    "deaths": "crashes",
    "door": "surface",
    "doorbell": "task queue",
    "ending": "terminal response",
    "flights": "in flight",
    "flying": "in flight",
    "hint": "fal's webhook",
    "hints": "fal's webhooks",
    "landed": "done",
    "look": "read, or a periodic task",
    "looks": "periodic task",
    "passes": "upload token",
    "passing": "expiring",
    "regain": "recover",
    "ring": "raise an alarm, enqueue",
    "rung": "raised, enqueued",
    "said": "logged, printed",
    "sheet": "usage",
    "standing": "the state of a limit",
    "standings": "the state of the line",
    "stretch": "page",
    "taken": "acquired",
    "tell": "write an event",
    "told": "acknowledged, published",
    "unread": "ignored",
    "wish": "request",
}
OF_THE_WIRE = {
    "Aside",
    "aside",
    "AsideView",
    "oldest_aside_ms",
    "told_failed",
}  # of replies, a command, keys, a record
LUA_FUNCTION = re.compile(r"\bfunction\s+([\w.]+)\s*\(")


def rooms() -> list[tuple[str, ast.Module]]:
    """Every module of app and workers, except the emulator, which is a separate program."""
    found = [path for path in python_files() if path.parts[0] in {"app", "workers"}]
    return [(str(path), parsed(path)) for path in found if "emulator" not in path.parts]


def names_in(tree: ast.Module) -> Iterator[str]:
    """The names of classes, their members, functions and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.arg):
            yield node.arg
        if isinstance(node, ast.ClassDef):
            yield from (ast.unparse(member.target) for member in node.body if isinstance(member, ast.AnnAssign))


def test_a_class_has_its_name_for_itself() -> None:
    """The name says which one is meant; private classes, and types of a route's parameters, are local."""
    places = defaultdict(list)
    for path, tree in rooms():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_retired_words_are_in_no_name() -> None:
    """Of a module, a class, a member, a function, a parameter; of a script, its functions and its parameters."""
    found = []
    for path, tree in rooms():
        names = {path.rpartition("/")[2].removesuffix(".py"), *names_in(tree)} - OF_THE_WIRE
        found += [f"{path}: {name}" for name in names if _has(name)]
    for script in script_names():
        found += [f"{script}.lua: {name}" for name in (*load(script).keys, *load(script).args) if _has(name)]
    for file in (ROOT / "app" / "store" / "lua").rglob("*.lua"):
        names = {file.stem, *LUA_FUNCTION.findall(file.read_text("utf-8"))}
        found += [f"{file.name}: {name}" for name in names if _has(name)]
    assert found == []


def _has(name: str) -> bool:
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return not RETIRED.keys().isdisjoint(re.split(r"[_.]", words))
