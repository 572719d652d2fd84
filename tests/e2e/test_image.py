"""The image's build steps install the command: they are run by hand, as no container engine runs here."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from tests.support.repo import ROOT


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


def test_the_images_steps_install_the_command(tmp_path: Path) -> None:
    """From the build's files alone, install.sh makes a working `filmgate`, and changes nothing else."""
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
