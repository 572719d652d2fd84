"""Ctrl-C before the command has begun."""

import signal
import subprocess
import sys

import pytest

from tests.support.tree import ROOT


@pytest.mark.parametrize("wait_s", [0.1, 0.3])
def test_ctrl_c_while_the_command_loads_ends_it_quietly(wait_s: float) -> None:
    """Exit code 130 and no traceback, wherever in its imports it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "up", "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  one system call
    )
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
