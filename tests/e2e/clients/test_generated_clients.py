"""Clients generated from the OpenAPI document pass strict type checks, and their replies are typed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.customers import Customers, Ended, running
from tests.support.node import SCRIPTS, find_node, install_packages
from tests.support.repo import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

GENERATOR = ROOT / ".bootstrap" / "openapi-python-client"  # installed by `./dev test`
PROGRAM = Path(__file__).parent / "py" / "generated.py"
CONFIGURATION = '{"post_hooks": []}'  # the tool would format its output
STRICT = ["--strict", "--target", "es2022", "--module", "nodenext", "--noUncheckedIndexedAccess"]


async def document(customers: Customers, folder: Path, served: str = "/openapi.json") -> Path:
    """One of the two documents, as the gateway serves it."""
    path = folder / served.strip("/").replace("/", "-")
    path.write_text((await customers.web.get(served)).text, encoding="utf-8")
    return path


async def run(folder: Path, *argv: str, **environment: str) -> Ended:
    """Run a program in a folder; it must succeed."""
    async with running(*argv, environment=environment, cwd=folder) as program:
        ended = await program.ended()
    assert ended.code == 0, f"{argv}: {ended.output} {ended.errors}"
    return ended


def environment(customers: Customers, prompt: str) -> dict[str, str]:
    """The programs' environment."""
    return {
        "GATEWAY": customers.installation.serve.url,
        "FILMGATE_KEY": customers.key,
        "IMAGE": customers.installation.emulator.sample_image,
        "PROMPT": prompt,
    }


async def assert_typed(customers: Customers, prompt: str, outcome: dict[str, Any]) -> None:
    """A clip, a refusal and a page, each with its type."""
    clip = outcome.pop("clip")
    assert outcome == {
        "status": "succeeded",
        "year": 2000 + outcome["year"] % 100,
        "code": "over_max_usd",
        "listed": [True],
    }
    await customers.assert_one_purchase(prompt, {"video": {"url": clip}})


async def test_openapi_python_client(customers: Customers, tmp_path: Path) -> None:
    """Clients of both documents pass mypy strictly; a program with ours gets its clip by `Prefer: wait`."""
    assert GENERATOR.is_dir(), "openapi-python-client is not here: run ./dev test, which fetches it."
    configuration = tmp_path / "configuration.json"
    await asyncio.to_thread(configuration.write_text, CONFIGURATION, encoding="utf-8")
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    for served, package in (("/openapi.json", "filmgate_client"), ("/fal/openapi.json", "fal_surface")):
        made = [
            "--path",
            str(await document(customers, tmp_path, served)),
            "--output-path",
            str(tmp_path / package),
        ]
        await run(tmp_path, *generate, "--config", str(configuration), *made, PYTHONPATH=str(GENERATOR))
    check = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    await run(tmp_path, *check, str(PROGRAM), str(tmp_path / "fal_surface"), MYPYPATH=str(tmp_path))
    prompt = customers.prompt().strip()  # it is the idempotency key too
    variables = {**environment(customers, prompt), "SSL_CERT_FILE": str(customers.certificates.authority)}
    path_of_modules = f"{tmp_path}:{GENERATOR}"
    ended = await run(tmp_path, sys.executable, str(PROGRAM), PYTHONPATH=path_of_modules, **variables)
    await assert_typed(customers, prompt, ended.outcome)


async def test_openapi_typescript_with_openapi_fetch(customers: Customers, tmp_path: Path) -> None:
    """Types of both documents pass tsc strictly; a program with ours gets its clip by `Prefer: wait`."""
    modules = await install_packages() / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text(json.dumps({"type": "module"}), encoding="utf-8")
    (tmp_path / "generated.ts").write_bytes((SCRIPTS / "generated.ts").read_bytes())
    node = str(find_node().path)
    generate = str(modules / "openapi-typescript" / "bin" / "cli.js")
    for served, types in (("/openapi.json", "schema.ts"), ("/fal/openapi.json", "fal_surface.ts")):
        path = await document(customers, tmp_path, served)
        await run(tmp_path, node, generate, str(path), "--output", types)
    await run(
        tmp_path, node, str(modules / "typescript" / "bin" / "tsc"), *STRICT, "generated.ts", "fal_surface.ts"
    )
    prompt = customers.prompt().strip()
    variables = {**environment(customers, prompt), "NODE_EXTRA_CA_CERTS": str(customers.certificates.authority)}
    ended = await run(tmp_path, node, "generated.js", **variables)
    await assert_typed(customers, prompt, ended.outcome)
