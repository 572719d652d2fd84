"""Ctrl-C while the command still imports."""

import subprocess
import sys

import pytest

from tests.support.repo import ROOT

PROGRAM = """
import os, signal, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {library!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupted())
sys.argv = ["filmgate", "up", "--help"]
from app.cli import main
main()
"""


@pytest.mark.parametrize("library", ["typer", "pydantic_core._pydantic_core", "httpx"])
def test_ctrl_c_while_the_command_loads_ends_it_quietly(library: str) -> None:
    """Exit code 130 and no traceback, wherever the imports are: here, at the start of this library's."""
    done = subprocess.run(  # noqa: S603  ours
        [sys.executable, "-c", PROGRAM.format(library=library)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (130, "", False), done.stderr
