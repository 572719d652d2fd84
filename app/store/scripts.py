"""Lua scripts, called by name: a script's header is its signature, and nobody counts ARGV indexes.

A header has `-- KEYS` and `-- ARGV` sections with one indented name a line. The loader turns them into the
tables `key` and `arg`, so that script and caller use the same words. `-- REST` says that what follows the
named arguments is a list, found in the table `rest`. `-- USES a b` puts `lib/a.lua` and `lib/b.lua` in front.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from app.store.client import Client
from app.store.replicas import run_confirmed

NAME = re.compile(r"^--   (\w+)\b")
FOLDER = resources.files("app.store") / "lua"


def _section(lines: list[str], title: str) -> list[str]:
    names: list[str] = []
    inside = False
    for line in lines:
        if line.startswith(f"-- {title}"):
            inside = True
        elif inside and (found := NAME.match(line)):
            names.append(found[1])
        elif inside and not line.startswith("--    "):
            break
    return names


def _preamble(keys: list[str], args: list[str], *, rest: bool) -> str:
    names = ", ".join(f"{name} = KEYS[{i}]" for i, name in enumerate(keys, 1))
    values = ", ".join(f"{name} = ARGV[{i}]" for i, name in enumerate(args, 1))
    lines = f"local key = {{{names}}}\nlocal arg = {{{values}}}\n"
    if rest:
        lines += f"local rest = {{}}\nfor i = {len(args) + 1}, #ARGV do rest[#rest + 1] = ARGV[i] end\n"
    return lines


class Script:
    """One Lua file: parsed header, whole text, SHA-1."""

    def __init__(self, name: str) -> None:
        text = (FOLDER / f"{name}.lua").read_text(encoding="utf-8")
        lines = text.splitlines()
        shebang = lines[0] + "\n" if lines[0].startswith("#!") else ""
        self.name = name
        self.keys = _section(lines, "KEYS")
        self.args = _section(lines, "ARGV")
        self.rest = any(line.startswith("-- REST") for line in lines)
        uses = next((line.split()[2:] for line in lines if line.startswith("-- USES")), [])
        shared = "".join((FOLDER / "lib" / f"{part}.lua").read_text(encoding="utf-8") for part in uses)
        body = text.removeprefix(shebang)
        self.text = shebang + _preamble(self.keys, self.args, rest=self.rest) + shared + body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(
        self,
        redis: Client,
        *,
        keys: Mapping[str, str],
        args: Mapping[str, str | bytes | int | float],
        rest: Iterable[str | int | float] = (),
    ) -> Any:
        """Call the script; ValueError when a named key or argument is missing, or one too many."""
        parts = self._parts(keys, args, rest)
        try:
            return await redis.execute_command("EVALSHA", self.sha, *parts)
        except NoScriptError:  # a new server, or SCRIPT FLUSH: send the text, which also caches it
            return await redis.execute_command("EVAL", self.text, *parts)

    async def run_confirmed(
        self,
        redis: Client,
        *,
        keys: Mapping[str, str],
        args: Mapping[str, str | bytes | int | float],
        rest: Iterable[str | int | float] = (),
    ) -> tuple[Any, bool]:
        """Call the script; its answer, and whether the replicas that are expected have what it wrote."""
        parts = self._parts(keys, args, rest)
        try:
            return await run_confirmed(redis, "EVALSHA", self.sha, *parts)
        except NoScriptError:
            return await run_confirmed(redis, "EVAL", self.text, *parts)

    def _parts(
        self,
        keys: Mapping[str, str],
        args: Mapping[str, str | bytes | int | float],
        rest: Iterable[str | int | float],
    ) -> list[str | bytes | int | float]:
        """What follows the script's name in the command."""
        if len(keys) != len(self.keys) or len(args) != len(self.args):
            extra = (set(keys) - set(self.keys)) | (set(args) - set(self.args))
            missing = (set(self.keys) - set(keys)) | (set(self.args) - set(args))
            raise ValueError(f"{self.name}.lua: unknown {sorted(extra)}, missing {sorted(missing)}")
        return [len(self.keys), *(keys[name] for name in self.keys), *(args[name] for name in self.args), *rest]


@cache
def script(name: str) -> Script:
    """The script in `lua/{name}.lua`, read once."""
    return Script(name)


def script_names() -> list[str]:
    """The names of all scripts."""
    return sorted(file.name.removesuffix(".lua") for file in FOLDER.iterdir() if file.name.endswith(".lua"))
