"""Checks the types of the page's scripts, which are JSDoc, against those that follow from docs/openapi.json.

`.venv/bin/python -m tests.guards.page_types write` writes `app/web/types/api.d.ts` anew.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.guards.openapi_document import COMMITTED as DOCUMENT
from tests.support.node import find_node, install_packages
from tests.support.repo import ROOT

PROJECT = ROOT / "app" / "web"
COMMITTED = PROJECT / "types" / "api.d.ts"
FRESH = ROOT / ".bootstrap" / "api.d.ts"
SECONDS = 120


def run(node: Path, script: Path, *arguments: str) -> str:
    """What it printed when it failed; empty when it did not."""
    done = subprocess.run(  # noqa: S603  our own tools
        [node, script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


def main(arguments: list[str]) -> int:
    """Write the types, or say what is stale or wrong; the exit code."""
    modules = asyncio.run(install_packages()) / "node_modules"
    node = find_node().path
    into = COMMITTED if arguments == ["write"] else FRESH
    into.parent.mkdir(exist_ok=True)
    fault = run(node, modules / "openapi-typescript" / "bin" / "cli.js", str(DOCUMENT), "-o", str(into))
    if not fault and into.read_bytes() != COMMITTED.read_bytes():
        fault = "The types are stale: `.venv/bin/python -m tests.guards.page_types write` writes them anew.\n"
    fault = fault or run(node, modules / "typescript" / "bin" / "tsc", "-p", str(PROJECT))
    sys.stderr.write(fault)
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
