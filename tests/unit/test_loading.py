"""What a process loads before it works."""

import os
import subprocess
import sys

import pytest

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
import workers.host
from app.settings import load_settings
workers.host.preload(load_settings({}))
print(threading.active_count(), sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in (3, 4, 5, 6)
      if os.path.exists(f"/proc/self/fd/{fd}")))
"""
WORKER = """
import asyncio, sys
import httpx, workers.host
from app.settings import load_settings
from rq.utils import utcparse
workers.host.preload(load_settings({}))
before = set(sys.modules)
async def call():
    async with httpx.AsyncClient() as web:
        try:
            await web.get("http://127.0.0.1:9/")
        except httpx.ConnectError as error:
            print(type(error).__name__)
asyncio.run(call())
print(utcparse("2026-11-30T12:00:00.5Z").year)
print(sorted(set(sys.modules) - before))
"""

STOPPED = """
import os, runpy, signal, sys
module, last, sys.argv[1:] = sys.argv[1], sys.argv[2], sys.argv[3:]
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == last:
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Stop())
runpy.run_module(module, run_name="__main__", alter_sys=True)
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


def test_a_worker_loads_nothing_that_its_supervisor_had_not_loaded() -> None:
    """What libraries load at their first call would be in each worker's own memory: 8 MB, which the fork shares."""
    assert _output(WORKER) == ["ConnectError", "2026", "[]"]


@pytest.mark.parametrize(
    ("module", "last", "words"),
    [
        ("app.cli", "typer", ["serve"]),
        ("app.cli", "uvicorn", ["worker"]),
        ("app.cli", "httpx", ["up"]),
        ("app.cli", "uvicorn", ["emulator"]),
        ("app.emulator", "uvicorn", ["--port", "0"]),
        ("workers", "structlog", []),
    ],
)
def test_a_stop_while_a_role_loads_ends_it_with_0(module: str, last: str, words: list[str]) -> None:
    """In the first second of its life: nothing was begun, so a deployment must not see a failure."""
    command = [sys.executable, "-c", STOPPED, module, last, *words]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == 0  # noqa: S603  as above
