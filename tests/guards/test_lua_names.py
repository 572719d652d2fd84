"""The linter of the Lua scripts: every name is declared, and every declaration is used.

Redis runs a script's libraries and its own text as one chunk, so they are read as one here too. Neither PyPI nor
npm has a linter for Lua; there is a parser, and wrong names are the usual mistake in scripts of this size.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from luaparser import ast as lua  # type: ignore[import-untyped]  # it has none
from luaparser import astnodes as nodes

from app.store.script_loader import FOLDER, script_names

GIVEN = {"key", "arg", "rest", "prefix", "redis", "cjson"}  # from the loader and the server
GIVEN |= {"string", "table", "math", "pairs", "ipairs", "next", "tonumber", "tostring", "type", "unpack", "select"}


@dataclass
class Chunk:
    """The names of one chunk: what is wrong, and which declarations (`file:line name`) are used."""

    scopes: list[dict[str, str]]
    faults: list[str] = field(default_factory=list)
    used: dict[str, bool] = field(default_factory=dict)
    path: str = ""
    line: int = 1  # the current one; the parser gives none for declared names

    def declare(self, names: list[Any]) -> None:
        """New locals of the innermost scope; an unused `_` is allowed."""
        for name in names:
            if isinstance(name, nodes.Name):
                where = f"{self.path}:{self.line} {name.id}"
                if name.id in self.scopes[-1] and name.id != "_":
                    self.faults.append(f"{where} is declared twice")
                self.scopes[-1][name.id] = where
                self.used.setdefault(where, name.id == "_")

    def use(self, name: Any, *, write: bool = False) -> None:
        """A reference to a local or a given name; a write is no use, and a given name is never written."""
        for scope in reversed(self.scopes):
            if name.id in scope:
                self.used[scope[name.id]] |= not write
                return
        if write or name.id not in GIVEN:
            self.faults.append(f"{self.path}:{self.line} {name.id} is not there")

    def inside(self, names: list[Any], *bodies: Any) -> None:
        """A scope that begins with these names."""
        self.scopes.append({})
        self.declare(names)
        for body in bodies:
            self.visit(body.body if isinstance(body, nodes.Block) else body)
        self.scopes.pop()

    def visit(self, node: Any) -> None:  # noqa: C901, PLR0912  one line for each kind of node
        """Everything below a node, in the order in which it runs."""
        self.line = getattr(node, "line", None) or self.line
        match node:
            case list():
                for one in node:
                    self.visit(one)
            case nodes.LocalAssign():
                self.visit(node.values)
                self.declare(node.targets)
            case nodes.Assign():
                self.visit(node.values)
                for target in node.targets:
                    self.use(target, write=True) if isinstance(target, nodes.Name) else self.visit(target)
            case nodes.LocalFunction():
                self.declare([node.name])
                self.inside(node.args, node.body)
            case nodes.Function():
                self.use(node.name, write=True)
                self.inside(node.args, node.body)
            case nodes.AnonymousFunction():
                self.inside(node.args, node.body)
            case nodes.Fornum():
                self.visit([node.start, node.stop, node.step])
                self.inside([node.target], node.body)
            case nodes.Forin():
                self.visit(node.iter)
                self.inside(node.targets, node.body)
            case nodes.Repeat():
                self.inside([], node.body, node.test)
            case nodes.Block():
                self.inside([], node)
            case nodes.Index():
                self.visit([node.value, *([node.idx] if node.notation is nodes.IndexNotation.SQUARE else [])])
            case nodes.Field():
                self.visit([*([node.key] if node.between_brackets else []), node.value])
            case nodes.Invoke():
                self.visit([node.source, node.args])
            case nodes.Name():
                self.use(node)
            case nodes.Node():
                self.visit([child for name, child in vars(node).items() if not name.startswith("_")])


@cache
def parsed(path: str) -> Any:
    """The statements of a script or a library."""
    return lua.parse((FOLDER / path).read_text("utf-8").replace("#!lua", "--", 1)).body.body


def parts(name: str) -> list[str]:
    """The files of a script: its libraries, then itself."""
    lines = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()
    libraries = next((line.split()[2:] for line in lines if line.startswith("-- USES")), [])
    return [*(f"lib/{library}.lua" for library in libraries), f"{name}.lua"]


def findings() -> list[str]:
    """What is wrong in the scripts; a library's local is unused when no script uses it."""
    wrong: set[str] = set()
    used: dict[str, bool] = {}
    for name in script_names():
        chunk = Chunk(scopes=[{}])
        for chunk.path in parts(name):
            chunk.visit(parsed(chunk.path))
        wrong |= set(chunk.faults)
        used |= {where: is_used or used.get(where, False) for where, is_used in chunk.used.items()}
    return sorted(wrong | {f"{where} is not used" for where, is_used in used.items() if not is_used})


def test_every_name_in_the_scripts_is_there_and_is_used() -> None:
    """No global, no misspelt local, no duplicate in one scope, and no unused name."""
    assert findings() == []
