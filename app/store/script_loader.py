"""Reads the Lua files: a script's header is its signature, and nobody counts ARGV indexes.

A header has the sections `-- KEYS` and `-- ARGV` with one name, its type and what it means on each line. The script
finds them in the tables `key` and `arg`, and the prefix of every key in `prefix`. A key that has the name of a
constant of `keys.py`, such as `slots`, is that one, and `due_STEP` is the due set of a step: no caller gives them.

A type of ARGV is `str`, `int`, `bytes` or `bool`; with `?` it may be None. Text and numbers arrive as text, `bool`
as a boolean, None as nil. `-- REST type` says that a list follows, found in `rest`. `-- USES a b` puts `lib/a.lua`
and `lib/b.lua` in front. `-- Returns type` is the reply: `{"done", at: int}` is a table, `*refs: str` the rest of
one, `|` means or. `-- CONFIRMED` adds to the reply whether the replicas that are expected have what was written.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import resources
from operator import itemgetter
from typing import Any

from redis.exceptions import NoScriptError

from app.store import keys
from app.store.client import Client, Value
from app.store.replicas import run_confirmed

FOLDER = resources.files("app.store") / "lua"
NAME = re.compile(r"^--   (\w+) +(\S+)(?: |$)")


def _section(lines: list[str], title: str) -> dict[str, str]:
    """The names and types of a section."""
    names: dict[str, str] = {}
    inside = False
    for line in lines:
        if line == f"-- {title}":
            inside = True
        elif inside and (found := NAME.match(line)):
            names[found[1]] = found[2]
        elif inside and not line.startswith("--    "):
            break
    return names


def _returns(lines: list[str]) -> str:
    """The reply's type, on as many lines as it takes; what it means follows it after two spaces."""
    first = next(i for i, line in enumerate(lines) if line.startswith("-- Returns "))
    text = lines[first].removeprefix("-- Returns ").partition("  ")[0]
    for line in lines[first + 1 :]:
        more = line.removeprefix("--   ").partition("  ")[0]
        if more == line or not (more.startswith("| ") or text.count("{") > text.count("}")):
            break
        text += f" {more}"
    return text


def _argument(number: int, kind: str) -> str:
    value = f"ARGV[{number}]"
    if kind == "bool":
        return f"{value} == '1'"
    return f"{value} ~= '' and {value} or nil" if kind.endswith("?") else value


def _fixed_key(name: str) -> str | None:
    """The key that has one name in the whole store; None where the caller says which."""
    step = name.removeprefix("due_")
    return keys.due(step) if step != name else getattr(keys, name.upper(), None)


def _picker(names: list[str]) -> Callable[[dict[str, Any]], Iterable[Any]]:
    """Takes the values of these names; for several in one call of C, because admissions have fifty."""
    return itemgetter(*names) if len(names) > 1 else lambda given: [given[name] for name in names]


class Script:
    """One Lua file: parsed header, whole text, SHA-1. A call takes the names of the header."""

    def __init__(self, name: str) -> None:
        text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        lines = text.splitlines()
        shebang = lines[0] + "\n" if lines[0].startswith("#!") else ""
        self.name = name
        self.keys = _section(lines, "KEYS")
        self.fixed = {name: key for name in self.keys if (key := _fixed_key(name))}
        self.args = _section(lines, "ARGV")
        self.rest = next((line.split()[2] for line in lines if line.startswith("-- REST ")), None)
        self.reply = _returns(lines)
        self.confirmed = any(line.startswith("-- CONFIRMED") for line in lines)
        self._names = [*self.keys, *self.args]
        self._pick = _picker(self._names)
        self._rare = [
            i for i, kind in enumerate([*self.keys, *self.args.values()]) if kind == "bool" or kind[-1] == "?"
        ]
        uses = next((line.split()[2:] for line in lines if line.startswith("-- USES")), [])
        shared = "".join((FOLDER / "lib" / f"{part}.lua").read_text(encoding="utf-8") for part in uses)
        self.text = shebang + self._preamble() + shared + text.removeprefix(shebang)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def _preamble(self) -> str:
        names = ", ".join(f"{name} = KEYS[{i}]" for i, name in enumerate(self.keys, 1))
        values = ", ".join(f"{name} = {_argument(i, kind)}" for i, (name, kind) in enumerate(self.args.items(), 1))
        lines = f"local prefix = '{keys.PREFIX}'\nlocal key = {{{names}}}\nlocal arg = {{{values}}}\n"
        if self.rest:
            lines += f"local rest = {{}}\nfor i = {len(self.args) + 1}, #ARGV do rest[#rest + 1] = ARGV[i] end\n"
        return lines

    async def __call__(self, redis: Client, **given: Any) -> Any:
        """Run the script; KeyError or TypeError, before anything is sent, when the names are not the header's."""
        values = self._values(given)
        try:
            return await self._run(redis, "EVALSHA", self.sha, values)
        except NoScriptError:  # a new server, or SCRIPT FLUSH: send the text, which also caches it
            return await self._run(redis, "EVAL", self.text, values)

    async def _run(self, redis: Client, command: str, text: str, values: list[Value]) -> Any:
        if self.confirmed:
            answer, confirmed = await run_confirmed(redis, command, text, len(self.keys), *values)
            return self._read(answer), confirmed
        return self._read(await redis.execute_command(command, text, len(self.keys), *values))

    def _values(self, given: dict[str, Any]) -> list[Value]:
        rest = given.pop("rest") if self.rest else ()
        given.update(self.fixed)
        values = list(self._pick(given))
        if len(given) > len(values):
            raise TypeError(f"{self.name}.lua does not know {', '.join(sorted(given.keys() - self._names))}")
        for i in self._rare:
            if isinstance(values[i], bool):
                values[i] = int(values[i])
            elif values[i] is None:
                values[i] = ""
        return [*values, *rest]

    def _read(self, answer: Any) -> Any:
        if self.reply == "bool":
            return bool(answer)
        return tuple(answer) if self.reply.startswith("{") else answer


@cache
def load(name: str) -> Script:
    """The script in `lua/{name}.lua`, read once."""
    return Script(name)


def script_names() -> list[str]:
    """The names of all scripts."""
    return sorted(file.name.removesuffix(".lua") for file in FOLDER.iterdir() if file.name.endswith(".lua"))
