"""The command's interface: its help texts, its start time, and shell completion."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.command import COMMANDS, load

FILMGATE = Path(sys.executable).parent / "filmgate"
BASH = """eval "$(_FILMGATE_COMPLETE=source_bash filmgate)"
COMP_WORDS=({words}) COMP_CWORD={last}
_filmgate_completion filmgate
echo "${{COMPREPLY[@]}}"
"""
FISH = '_FILMGATE_COMPLETE=source_fish filmgate | source; complete -C "{line}"'
# What zsh's own completion system would get; it works only in a terminal.
ZSH = """_arguments() {{ print -r -- "$@" }}; compdef() {{ }}
eval "$(_FILMGATE_COMPLETE=source_zsh filmgate)"
words=({words}); CURRENT={number}; _filmgate_completion
"""


LOADED = """import sys, app.cli.command
try:
    app.cli.command.run(["{option}"])
except SystemExit:
    print([name for name in ("redis", "fastapi", "httpx", "pydantic", "structlog") if name in sys.modules])
"""


def _run(*words: str | Path) -> str:
    """The output of a program that must succeed and print nothing to stderr."""
    env = {
        "PATH": f"{FILMGATE.parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  ours
    assert done.stderr == ""
    return done.stdout


def _in_shell(shell: str, script: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return _run(path, "-c", script)


def test_the_help_has_each_commands_own_sentence() -> None:
    """The table that is shown without loading any command has each command's own sentence."""
    untrue = []
    for name, word in COMMANDS.items():
        sentence = " ".join(load(name).help.split("\n\n")[0].split())
        if sentence != word.help:
            untrue.append((name, sentence))
    assert untrue == []


def test_each_group_of_commands_describes_them() -> None:
    """Every command in a group has its sentence."""
    silent = []
    for name in COMMANDS:
        found = load(name)
        silent += [
            f"{name} {inner}" for inner, command in getattr(found, "commands", {}).items() if not command.help
        ]
    assert silent == []


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The command and all below it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}")


def test_the_help_is_in_words() -> None:
    """Every option and argument is explained, its kind is a word and no type of Python's, and paragraphs flow."""
    strange = []
    for path, command in [found for name in COMMANDS for found in _commands(load(name), name)]:
        context = typer.Context(command, **command.context_settings)
        for one in (one for one in command.get_params(context) if not one.hidden):
            kind = one.display_type_rich(context)
            if not one.help or (kind is None) != (one.param_type_name == "argument") or "<" in (kind or ""):
                strange.append((path, one.name, kind, one.help))
        if "\n" in command.help.replace("\n\n", ""):
            strange.append((path, "", None, command.help))
    assert [one for one in strange if one[1] not in {"role", "action"}] == []  # whose kinds are their words
    text = re.sub(r"\s+", " ", _run(FILMGATE, "webhooks", "endpoints", "--help"))
    assert "<" not in text
    assert "The key needs `team:read` to show them" in text


def test_the_version_and_the_help_load_no_command() -> None:
    """The slow imports are skipped: the store's client, FastAPI, the gateway."""
    for option in ("--version", "--help"):
        done = _run(sys.executable, "-c", LOADED.format(option=option))
        assert done.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["ke"], "keys"), (["keys", "cr"], "create"), (["keys", "create", "--exp"], "--expires-in")],
    ids=["word", "word of a group", "option"],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_what_was_begun(shell: str, words: list[str], expected: str) -> None:
    """Bash, zsh and fish, with the script that the command prints for each."""
    line = " ".join(["filmgate", *words])
    script = {
        "bash": BASH.format(words=line, last=len(words)),
        "zsh": ZSH.format(words=line, number=len(words) + 1),
        "fish": FISH.format(line=line),
    }[shell]
    assert expected in _in_shell(shell, script)
