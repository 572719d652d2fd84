"""A script's header is its signature: it declares exactly what the script uses, and begins with a sentence."""

import inspect
import re
from importlib import import_module
from itertools import takewhile
from pkgutil import iter_modules

from app import store
from app.store.script_loader import FOLDER, load, script_names
from tests.guards import script_stub

LIBRARIES = {file.name.removesuffix(".lua") for file in (FOLDER / "lib").iterdir()}
TYPES = {"str", "str?", "int", "int?", "bool", "bytes"}
# Scripts that are refused while memory is full, and why; all others end, free or decide something, and still run.
WAIT_FOR_MEMORY = {
    "check_writable": "it asks whether the store takes jobs",
    "admit": "a new job: admission stops first",
    "count_outstanding": "a new token, or the promise of an upload",
    "finish_upload": "what is uploaded is for new jobs",
    "replay_deliveries": "old messages, sent once more",
    "hold_file": "a file that is about to come",
    "register_part": "what is uploaded is for new jobs",
    "consume_rate": "a turn that is not counted would be one without a limit",
}
CALLERS = [import_module(f"app.store.{module.name}") for module in iter_modules(store.__path__)]


def lines_of(name: str) -> list[str]:
    """The script's lines, without the shebang."""
    lines = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()
    return lines[1:] if lines[0].startswith("#!") else lines


def code_of(name: str) -> str:
    """The script without its comments."""
    return "\n".join(line.split("--")[0] for line in lines_of(name))


def says_its_contract(name: str) -> bool:
    """A sentence, the keys and arguments with their types, the reply; then the code."""
    lines = lines_of(name)
    header = list(takewhile(lambda line: line.startswith("--"), lines))
    if not lines[0].startswith("-- ") or not {"-- KEYS", "-- ARGV"} <= set(header):
        return False
    script = load(name)
    return (
        any(line.startswith("-- Returns ") for line in header)
        and script.keys.keys().isdisjoint(script.args)
        and set(script.keys.values()) <= {"hash", "zset", "list", "string", "stream", "set"}
        and set(script.args.values()) <= TYPES
    )


def undeclared(name: str) -> list[str]:
    """Keys, arguments, rest and libraries that are used but not declared, or declared but not used."""
    code = code_of(name)
    found = sorted(set(re.findall(r"\bkey\.(\w+)", code)) ^ set(load(name).keys))
    found += sorted(set(re.findall(r"\barg\.(\w+)", code)) ^ set(load(name).args))
    found += ["rest"] if bool(load(name).rest) != bool(re.search(r"\brest\b", code)) else []
    found += re.findall(r"\b(?:KEYS|ARGV)\b", code)
    library = {part: (FOLDER / "lib" / f"{part}.lua").read_text("utf-8") for part in uses(name)}
    for part, text in library.items():
        others = code + "".join(other for name, other in library.items() if name != part)
        defined = re.findall(r"^local (?:function )?(\w+)", text, re.MULTILINE)
        found += [] if any(re.search(rf"\b{word}\b", others) for word in defined) else [part]
    return found


def uses(name: str) -> list[str]:
    """The libraries that a script requires."""
    return next((line.split()[2:] for line in lines_of(name) if line.startswith("-- USES")), [])


def has_its_own_time(name: str) -> bool:
    """True when a script reads a machine's clock, is random, or sets `now` from anything but the store's clock."""
    code = code_of(name)
    return (
        "os.time" in code
        or "math.random" in code
        or (bool(re.search(r"\bnow\b", code)) and "clock" not in uses(name))
    )


def test_a_script_opens_with_its_contract() -> None:
    """A sentence, the keys with their types, the arguments, the reply; then the code."""
    assert [name for name in script_names() if not says_its_contract(name)] == []


def test_a_script_uses_what_it_declares_and_declares_what_it_uses() -> None:
    """Keys, arguments, the rest, and the libraries."""
    assert {name: found for name in script_names() if (found := undeclared(name))} == {}


def test_time_comes_from_the_store() -> None:
    """Leases and deadlines never compare two machines' clocks, and nothing is random."""
    assert [name for name in script_names() if has_its_own_time(name)] == []


def waits_for_memory(name: str) -> bool:
    """True when a script is refused while memory is full; a script that cannot write needs no flag."""
    first = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()[0]
    assert first in {"#!lua", "#!lua flags=allow-oom", "#!lua flags=no-writes"} or first.startswith("-- "), name
    return first == "#!lua" or first.startswith("-- ")


def test_when_memory_is_full_everything_that_ends_or_decides_goes_on() -> None:
    """Only scripts that add something new are refused, each for its reason."""
    assert {name for name in script_names() if waits_for_memory(name)} == set(WAIT_FOR_MEMORY)


def test_every_script_is_called_and_every_library_used() -> None:
    """No script or library is unused."""
    source = "".join(inspect.getsource(module) for module in CALLERS)
    assert set(re.findall(r"\bscripts\.(\w+)\(", source)) == set(script_names())
    used = {part for name in script_names() for part in uses(name)}
    assert used == LIBRARIES


def test_the_committed_types_are_those_of_the_headers() -> None:
    """Mypy compares every call with them."""
    assert script_stub.COMMITTED.read_text("utf-8") == script_stub.drawn(), (
        "`.venv/bin/python -m tests.guards.script_stub` writes them anew"
    )


def test_a_script_is_short() -> None:
    """It can be read at once, with its header."""
    assert {name: long for name in script_names() if (long := len(lines_of(name))) > 160} == {}
