"""The emulator as a process: it starts alone, prints its address, and does not outlive its parent."""

import ast
import asyncio
import socket
import subprocess
import sys

import pytest

from tests.support.emulator import FalCaller, running_emulator
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

# A parent that starts the emulator, prints its first line, and exits without signalling it.
PARENT = """
import subprocess, sys
command = [sys.executable, "-m", "app.emulator", "--port", "0", "--die-with-parent", "--no-clips"]
child = subprocess.Popen(command, stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), end="", flush=True)
"""


def test_it_imports_nothing_of_ours() -> None:
    """With shared code, a misunderstanding of fal could hide on both sides."""
    for module in (ROOT / "app" / "emulator").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.split(".")[0] in {"app", "workers", "tests"}]
            assert all(name.startswith("app.emulator") for name in ours), module.name


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
async def test_it_ends_with_its_parent() -> None:
    """--die-with-parent: when the parent ends, nothing listens any more."""
    command = [sys.executable, "-c", PARENT]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    port = int(ended.stdout.decode().strip().rsplit(":", 1)[1])

    async def nobody_listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    await wait_until(nobody_listens, "the emulator has ended")


async def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    """Exit code 1, and no traceback."""
    async with running_emulator("--no-clips") as fal:
        command = [sys.executable, "-m", "app.emulator", "--port", str(fal.port)]
        ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith(f"Cannot listen on 127.0.0.1:{fal.port}: ")
    assert len(ended.stderr.splitlines()) == 1


async def test_a_public_url_is_the_origin_of_every_url() -> None:
    """For containers, where callers use different host names."""
    options = ("--no-clips", "--public-url", "https://fal.example/")
    async with running_emulator(*options) as fal, FalCaller(fal.url) as caller:
        reply = await caller.submit()
    assert reply["status_url"].startswith("https://fal.example/fal-ai/kling-video/requests/")
