"""A script's header is its signature: what it declares is what it uses, and it opens with a sentence."""

import inspect
import re
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from pkgutil import iter_modules

import pytest

from app import store
from app.store.scripts import Script, script, script_names

FOLDER = Path(inspect.getfile(Script)).parent / "lua"
LIBRARIES = sorted(file.stem for file in (FOLDER / "lib").glob("*.lua"))
# Scripts that are refused while memory is full, and why; all others end, free or decide something, and go on.
WAIT_FOR_MEMORY = {
    "accepts": "it asks whether the store takes jobs",
    "admit": "a new job: admission stops first",
    "claim_outstanding": "a new token, or the promise of an upload",
    "finish_upload": "what is uploaded is for new jobs",
    "replay": "old messages, sent once more",
    "take_part": "what is uploaded is for new jobs",
    "take_turn": "a turn that is not counted would be one without a limit",
}
CALLERS = [import_module(f"app.store.{module.name}") for module in iter_modules(store.__path__)]


def lines_of(name: str) -> list[str]:
    """The script's lines, without the shebang."""
    lines = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()
    return lines[1:] if lines[0].startswith("#!") else lines


def code_of(name: str) -> str:
    """The script without its comments."""
    return "\n".join(line.split("--")[0] for line in lines_of(name))


@pytest.mark.parametrize("name", script_names())
def test_a_script_opens_with_its_contract(name: str) -> None:
    """A sentence, the keys with their types, the arguments, what it returns; then the code."""
    lines = lines_of(name)
    assert lines[0].startswith("-- ")
    header = list(takewhile(lambda line: line.startswith("--"), lines))
    assert any(line.startswith("-- Returns ") for line in header)
    assert "-- KEYS" in header
    assert "-- ARGV" in header
    types = {"hash", "zset", "list", "string", "stream", "set"}
    section = header[header.index("-- KEYS") + 1 : header.index("-- ARGV")]
    keys = [line.split()[1:3] for line in section if line.startswith("--   ") and line[5] != " "]
    assert [key[0] for key in keys] == script(name).keys
    assert {key[1] for key in keys} <= types


@pytest.mark.parametrize("name", script_names())
def test_a_script_uses_what_it_declares_and_declares_what_it_uses(name: str) -> None:
    """Keys, arguments, the rest, and the libraries."""
    code = code_of(name)
    assert set(re.findall(r"\bkey\.(\w+)", code)) == set(script(name).keys)
    assert set(re.findall(r"\barg\.(\w+)", code)) == set(script(name).args)
    assert script(name).rest == bool(re.search(r"\brest\b", code))
    assert not re.search(r"\b(KEYS|ARGV)\b", code)
    uses = next((line.split()[2:] for line in lines_of(name) if line.startswith("-- USES")), [])
    assert set(uses) <= set(LIBRARIES)
    library = {part: (FOLDER / "lib" / f"{part}.lua").read_text("utf-8") for part in uses}
    for part, text in library.items():
        others = code + "".join(other for name, other in library.items() if name != part)
        defined = re.findall(r"^local (?:function )?(\w+)", text, re.MULTILINE)
        assert any(re.search(rf"\b{word}\b", others) for word in defined), f"{part} is not used"


@pytest.mark.parametrize("name", script_names())
def test_time_comes_from_the_store(name: str) -> None:
    """Leases and deadlines never compare two machines' clocks, and nothing is left to chance."""
    code = code_of(name)
    assert "os.time" not in code
    assert "math.random" not in code
    if re.search(r"\bnow\b", code):
        assert any(line.startswith("-- USES") and "clock" in line.split() for line in lines_of(name))


@pytest.mark.parametrize("name", script_names())
def test_when_memory_is_full_everything_that_ends_or_decides_goes_on(name: str) -> None:
    """Only what brings something new is refused, each for its reason; what cannot write needs no permission."""
    first = (FOLDER / f"{name}.lua").read_text("utf-8").splitlines()[0]
    wanted = {"#!lua", "-- "} if name in WAIT_FOR_MEMORY else {"#!lua flags=allow-oom", "#!lua flags=no-writes"}
    assert any(first == one or (one == "-- " and first.startswith(one)) for one in wanted)


def test_every_script_that_waits_for_memory_is_one() -> None:
    """The table names nothing that is gone."""
    assert set(WAIT_FOR_MEMORY) <= set(script_names())


def test_every_script_is_called_and_every_library_used() -> None:
    """Nothing lies around."""
    source = "".join(inspect.getsource(module) for module in CALLERS)
    assert set(re.findall(r'script\(\s*"(\w+)"\s*\)', source)) == set(script_names())
    used = {
        part
        for name in script_names()
        for line in lines_of(name)
        if line.startswith("-- USES")
        for part in line.split()[2:]
    }
    assert used == set(LIBRARIES)


@pytest.mark.parametrize("name", script_names())
def test_a_script_is_short(name: str) -> None:
    """Header and all, it can be read in one go."""
    assert len(lines_of(name)) <= 160


@pytest.mark.anyio
async def test_a_call_with_a_wrong_name_is_refused_before_it_is_sent() -> None:
    """A misspelt name and one too many are errors of the program."""
    with pytest.raises(KeyError, match="due"):
        await script("take_due").run(None, keys={"dew": "x"}, args={"limit": 1, "visibility_ms": 1})
    with pytest.raises(ValueError, match=r"take_due.lua: unknown \['more'\], missing \[\]"):
        await script("take_due").run(None, keys={"due": "x", "more": "y"}, args={"limit": 1, "visibility_ms": 1})
