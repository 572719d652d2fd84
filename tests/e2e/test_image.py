"""The image's build steps, run by hand as no container engine runs here; what they install, run as by compose."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from app.store import keys
from tests.e2e.composed import Composed, no_mounts, running
from tests.support.emulator import running_emulator
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(400)

CUSTOMER = ROOT / "tests" / "e2e" / "clients" / "py" / "seed_subscribe.py"
TASK = ("LPUSH", "rq:queue:work", "task")
ANYBODYS = (("FLUSHALL",), ("KEYS", "*"), ("ACL", "LIST"), ("CLIENT", "LIST"), ("GET", "other:key"))
FORBIDDEN: dict[str, tuple[tuple[str, ...], ...]] = {
    "api": (TASK, ("EVAL", "return redis.call('LPUSH', 'rq:queue:work', 'task')", "0"), ("SCAN", "0"), *ANYBODYS),
    "worker": (
        ("HSET", keys.key("0" * 64), "team", "films"),
        ("HGETALL", keys.key("0" * 64)),
        ("HSET", keys.KEYS, "id", "0" * 64),
        ("HSET", keys.token("0" * 64), "team", "films"),
        ("XADD", keys.AUDIT, "*", "act", "nothing"),
        ("EVAL", "return redis.call('HGETALL', 'fg:key:' .. ARGV[1])", "0", "0"),
        ("CONFIG", "SET", "appendfsync", "no"),
        ("SCAN", "0"),
        *ANYBODYS,
    ),
    "admin": (TASK, *ANYBODYS),
}


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and mtime of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def build_context(folder: Path) -> Path:
    """A copy of the build's context: the paths that .dockerignore allows."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    for name in (line[1:] for line in lines if line.startswith("!")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, target)
    return folder


def outcome(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and keeps its output."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # noqa: S603 - our own commands


def python_with_pip(folder: Path) -> Path:
    """A folder whose `python3` has pip, as the base image's has."""
    folder.mkdir()
    base: str = getattr(sys, "_base_executable", sys.executable)
    if outcome([base, "-m", "pip", "--version"]).returncode == 0:
        (folder / "python3").symlink_to(base)
        return folder
    venv.create(folder / "venv", with_pip=True)
    return folder / "venv" / "bin"


@dataclass(frozen=True, slots=True)
class Built:
    """What the image's steps installed at `target`, and what they left elsewhere."""

    target: Path
    home: Path
    temporary: Path
    context_unchanged: bool


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image's steps, run on the build's files alone, with an empty home."""
    folder = tmp_path_factory.mktemp("image")
    context, target = build_context(folder / "context"), folder / "installed"
    home, temporary, cache = folder / "home", folder / "tmp", ROOT / ".bootstrap" / "cache"
    home.mkdir()
    temporary.mkdir()
    before = snapshot(context)
    kept = {key: os.environ[key] for key in os.environ if key.startswith(("PIP_", "SSL_", "UV_"))}
    env = {
        **kept,
        "PATH": f"{python_with_pip(folder / 'bin')}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_CACHE_DIR": str(cache / "uv"),
    }
    installed = outcome([str(context / "deploy" / "install.sh"), str(target)], env=env)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return Built(target, home, temporary, snapshot(context) == before)


def test_the_images_steps_install_the_command(built: Built) -> None:
    """From the build's files alone, install.sh makes a working `filmgate`, with its documentation."""
    assert built.context_unchanged
    assert not list(built.home.iterdir())
    assert not list(built.temporary.iterdir())
    assert not list(built.target.rglob("*.pth"))
    command = [str(built.target / "bin" / "filmgate"), "--help"]
    started = outcome(command, cwd=built.home, env={"PATH": "/usr/bin:/bin"})
    assert started.returncode == 0, started.stderr
    assert "serve" in started.stdout
    pages = "from app.web.guide import Guide, folder; print(Guide(folder()).page('limits'))"
    drawn = outcome([str(built.target / "bin" / "python"), "-c", pages], cwd=built.home, env={})
    assert '<h1 id="people-limits-and-money">' in drawn.stdout, drawn.stderr


async def ready(compose: Composed) -> None:
    """Wait until Caddy has a certificate, and the API behind it is ready."""

    async def answers() -> bool:
        if not compose.authority.exists():
            return False
        try:
            trusted = ssl.create_default_context(cafile=str(compose.authority))
            async with httpx.AsyncClient(verify=trusted, trust_env=False) as web:
                return (await web.get(f"{compose.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_until(answers, "the API is ready behind Caddy", timeout=150, interval=0.2)


async def answer(compose: Composed, *words: str) -> Any:
    """The JSON that a command in a service's container prints."""
    ended = await asyncio.to_thread(compose.run, *words)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


async def customer(compose: Composed, key: str, image: str, *, prompt: str = "A quiet lake") -> Any:
    """The result of fal's own example, configured by its environment alone."""
    host = compose.url.removeprefix("https://")
    variables = {
        "FAL_RUN_HOST": f"{host}/fal/run",
        "FAL_QUEUE_RUN_HOST": f"{host}/fal/queue",
        "FAL_KEY": key,
        "SSL_CERT_FILE": str(compose.authority),
    }
    env = {"PATH": os.environ["PATH"], **variables}
    argv = [sys.executable, str(CUSTOMER), prompt, image]
    ended = await asyncio.to_thread(outcome, argv, env=env, timeout=150)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])["outcome"]


def allowed(compose: Composed, role: str) -> list[tuple[str, ...]]:
    """Those of the forbidden commands that the store lets this role call."""
    found = []
    with Redis.from_url(compose.secret(f"store_url_{role}")) as store:
        for words in FORBIDDEN[role]:
            try:
                store.execute_command(*words)
            except RedisError as error:
                if isinstance(error, NoPermissionError) or "ACL failure" in str(error):
                    continue
            found.append(words)
    return found


@pytest.mark.anyio
async def test_compose_gives_a_clip_to_fals_client_with_the_least_rights(built: Built, tmp_path: Path) -> None:
    """A role lacks no right and has no other; the client needs four variables; a second host needs two settings."""
    reason = no_mounts()
    if reason is not None and not os.environ.get("CI"):
        pytest.skip(reason)
    assert reason is None
    async with running_emulator("--plain-clips", "--queue-seconds", "0", "--run-seconds", "0.2") as emulator:
        fal = {"FILMGATE_FAL_QUEUE_URL": emulator.url, "FILMGATE_FAL_REST_URL": emulator.url}
        compose = Composed(tmp_path, built.target, {**fal, "FILMGATE_DRAIN_SECONDS": "0"})
        store, api, workers = compose.store(), compose.role("api"), compose.role("worker")
        with running(store, api, workers, compose.caddy()):
            await ready(compose)
            key = await answer(compose, "api", "keys", "create", "anna", "--json")
            clip = await customer(compose, key["key"], emulator.sample_image)
            assert clip["video"]["url"].startswith(emulator.url)
            assert (await answer(compose, "admin", "ledger", "verify", "--json"))["differences"] == []
            assert (await answer(compose, "admin", "status", "--json"))["workers"]
            await answer(compose, "admin", "migrate", "--json")
            saved = await asyncio.to_thread(compose.run, "admin", "backup", str(tmp_path / "admin" / "today"))
            assert saved.returncode == 0, saved.stderr
            with Redis(port=compose.store_port, username="test", password="any") as asking:
                assert [entry for entry in asking.acl_log() if entry["username"] != "test"] == []
            assert {role: allowed(compose, role) for role in FORBIDDEN} == {role: [] for role in FORBIDDEN}

            workers.stop()
            with running(compose.second_host()):
                clip = await customer(compose, key["key"], emulator.sample_image, prompt="A second host")
                assert clip["video"]["url"].startswith(emulator.url)
        assert (await asyncio.to_thread(api.stop), await asyncio.to_thread(workers.stop)) == (0, 0)
