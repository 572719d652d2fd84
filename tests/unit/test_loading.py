"""What a process loads before it works."""

import os
import subprocess
import sys

from tests.support.repo import ROOT

COMMANDS = """
import importlib, sys
from app.cli.command import COMMANDS
print("pydantic" in sys.modules)
for spec in COMMANDS.values():
    if spec.module != "roles":
        importlib.import_module(f"app.cli.{spec.module}")
print("app.gateway" in sys.modules)
"""
UP = """
import sys
import app.cli.up
print([name for name in ("app.gateway", "redis", "obstore", "PIL") if name in sys.modules])
"""
SUPERVISOR = """
import os, threading
import workers.__main__
workers.__main__.preload()
print(threading.active_count(), sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in (3, 4, 5, 6)
      if os.path.exists(f"/proc/self/fd/{fd}")))
"""


def _output(script: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    return subprocess.run(  # noqa: S603  the scripts above
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()


def test_the_help_of_a_command_loads_no_gateway() -> None:
    """It takes longer to load than the rest; the list of commands loads none of them."""
    assert _output(COMMANDS) == ["False", "False"]


def test_up_loads_no_client_of_the_store() -> None:
    """Its process lives as long as the others, and only restarts them."""
    assert _output(UP) == ["[]"]


def test_a_supervisor_has_one_thread_and_no_open_file_when_it_forks() -> None:
    """A child would get a copy of a lock that another thread holds, and share a connection."""
    assert _output(SUPERVISOR) == ["1 []"]
