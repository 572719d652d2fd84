"""Ctrl-C before the command has begun."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


def mapped(pid: int) -> str:
    """What the process has in its memory."""
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("library", ["_pydantic_core", "hiredis"])
async def test_ctrl_c_while_the_command_loads_ends_it_quietly(library: str) -> None:
    """Exit code 130 and no traceback, wherever in its imports it is: here, when it has loaded this library."""
    process = subprocess.Popen(  # noqa: ASYNC220  our own module; returns at once
        [sys.executable, "-m", "app.cli", "up", "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  one system call
    )
    try:

        async def loaded() -> bool:
            return library in mapped(process.pid)

        await wait_until(loaded, f"{library} is loaded", interval=0.002)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (130, False), said
