"""The image and the compose file: what they promise, and that the image's steps really install."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.tree import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
OURS = ["api", "worker", "demo"]


def test_the_image_runs_as_a_user_without_rights() -> None:
    """The last stage ends as uid 10001, by number, so that Kubernetes can verify it."""
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE)[-1] == "10001:10001"


def test_every_base_is_pinned() -> None:
    """Each image has a tag or a digest, and none is `latest`."""
    images = [*re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE), *(s["image"] for s in SERVICES.values())]
    assert all(re.search(r"[:@](?!latest$).+", image) for image in images), images


def test_the_image_asks_for_its_own_health() -> None:
    """The health check uses the standard library on /livez; the roles without a port switch it off."""
    assert "http.client" in DOCKERFILE.split("HEALTHCHECK")[1]
    assert "/livez" in DOCKERFILE.split("HEALTHCHECK")[1]
    assert SERVICES["worker"]["healthcheck"] == {"disable": True}


def test_the_store_keeps_what_it_acknowledged() -> None:
    """Redis syncs every write, evicts nothing, and keeps its files in a volume."""
    command = " ".join(SERVICES["redis"]["command"])
    for flag in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert flag in command
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_the_store_has_a_password_and_less_memory_than_its_limit() -> None:
    """It runs full before the kernel ends it; who reaches its network may not read it."""
    redis = SERVICES["redis"]
    assert redis["command"][1] == "/run/secrets/redis_conf"
    assert redis["secrets"] == ["redis_conf"]
    most = redis["command"][redis["command"].index("--maxmemory") + 1]
    assert (most, redis["mem_limit"]) == ("${REDIS_MAXMEMORY:-1gb}", "${REDIS_MEMORY:-2g}")


def test_the_store_is_not_published() -> None:
    """Redis has no port outside and only the network without a way out."""
    assert "ports" not in SERVICES["redis"]
    assert SERVICES["redis"]["networks"] == ["store"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """No service can write to its image, gain a right, or fork without end."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0


@pytest.mark.parametrize("name", SERVICES)
def test_no_log_grows_without_end(name: str) -> None:
    """Docker keeps five files of each container's log, and cuts them."""
    logging = SERVICES[name]["logging"]
    assert logging["driver"] == "json-file"
    assert re.fullmatch(r"[0-9]+m", logging["options"]["max-size"])
    assert int(logging["options"]["max-file"]) > 1


def test_the_api_can_keep_parts_of_uploads() -> None:
    """Where its data directory is, it has a volume: its root is read-only."""
    directory = re.findall(r"FILMGATE_DATA_DIR=(\S+)", DOCKERFILE)[-1]
    assert [volume.partition(":")[2] for volume in SERVICES["api"]["volumes"]] == [directory]


@pytest.mark.parametrize("name", OURS)
def test_secrets_arrive_as_files(name: str) -> None:
    """No key stands in the environment; what is named *_FILE is a secret of that service."""
    service = SERVICES[name]
    environment: dict[str, str] = service["environment"]
    assert not [key for key in environment if re.search(r"KEY$|SECRET$", key)]
    files = {value for key, value in environment.items() if key.endswith("_FILE")}
    assert files == {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}


def test_a_worker_may_finish_its_submission() -> None:
    """A worker has a minute between the signal and the end."""
    assert SERVICES["worker"]["stop_grace_period"] == "60s"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def build_context(folder: Path) -> Path:
    """A copy of what the image's build sees: the paths that .dockerignore lets in."""
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


def outcome(argv: list[str], **place: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and keeps what it says."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, **place)  # noqa: S603 - our own commands


def python_with_pip(folder: Path) -> Path:
    """A folder whose `python3` has pip, as the base image's has."""
    folder.mkdir()
    base: str = getattr(sys, "_base_executable", sys.executable)
    if outcome([base, "-m", "pip", "--version"]).returncode == 0:
        (folder / "python3").symlink_to(base)
        return folder
    venv.create(folder / "venv", with_pip=True)
    return folder / "venv" / "bin"


def test_the_images_steps_install_the_command(tmp_path: Path) -> None:
    """From the build's files alone, install.sh makes a working `filmgate`, and touches nothing else."""
    context, target = build_context(tmp_path / "context"), tmp_path / "installed"
    home, temporary, cache = tmp_path / "home", tmp_path / "tmp", ROOT / ".bootstrap" / "cache"
    home.mkdir()
    temporary.mkdir()
    before = snapshot(context)
    kept = {key: os.environ[key] for key in os.environ if key.startswith(("PIP_", "SSL_", "UV_"))}
    env = {
        **kept,
        "PATH": f"{python_with_pip(tmp_path / 'bin')}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_CACHE_DIR": str(cache / "uv"),
    }
    installed = outcome([str(context / "deploy" / "install.sh"), str(target)], env=env)
    assert installed.returncode == 0, installed.stdout + installed.stderr

    assert snapshot(context) == before
    assert not list(home.iterdir())
    assert not list(temporary.iterdir())
    assert not list(target.rglob("*.pth"))

    imported = outcome([str(target / "bin" / "python"), "-c", "import app, workers"], cwd=home, env=env)
    assert imported.returncode == 0, imported.stderr
    if (ROOT / "app" / "cli" / "__init__.py").is_file():
        started = outcome([str(target / "bin" / "filmgate"), "--help"], cwd=home, env=env)
        assert started.returncode == 0, started.stderr
        assert "serve" in started.stdout
