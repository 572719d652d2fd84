"""deploy/pin_images.sh, on a copy of the files, with a registry that a script stands for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.repo import ROOT

OLD, NEW, OTHER = (f"sha256:{digit * 64}" for digit in "123")
SKOPEO = """#!/bin/sh
for word; do image=$word; done
grep "^${image#docker://} " "$REGISTRY" | cut -d ' ' -f 2 | grep .
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that names two images, one of them twice, and a registry that knows both."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "pin_images.sh", tmp_path / "deploy")
    (tmp_path / "Dockerfile").write_text(f"ARG BASE=python:3-slim@{OLD}\nFROM ${{BASE}}\n")
    (tmp_path / "docker-compose.yml").write_text(f"a: python:3-slim@{OLD}\nb: host:5000/team/store:7@{OTHER}\n")
    (tmp_path / "skopeo").write_text(SKOPEO)
    (tmp_path / "skopeo").chmod(0o700)
    said(tmp_path, {"python:3-slim": OLD, f"python@{OLD}": OLD, "host:5000/team/store:7": OTHER})
    return tmp_path


def said(checkout: Path, images: dict[str, str]) -> None:
    """From now on the registry knows these."""
    (checkout / "registry").write_text("".join(f"{name} {digest}\n" for name, digest in images.items()))


def pin(checkout: Path, *words: str) -> tuple[int, str]:
    """Run it; its exit code and all that it printed."""
    env = {"PATH": f"{checkout}:{os.environ['PATH']}", "REGISTRY": str(checkout / "registry")}
    command = [str(checkout / "deploy" / "pin_images.sh"), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603  ours
    return done.returncode, done.stdout + done.stderr


def text(checkout: Path) -> str:
    """Both files."""
    return (checkout / "Dockerfile").read_text() + (checkout / "docker-compose.yml").read_text()


def test_each_image_gets_the_digest_that_its_tag_has_now(checkout: Path) -> None:
    """In every file; the others stay, and nothing else is left behind."""
    before = text(checkout)
    assert pin(checkout)[0] == 0
    assert text(checkout) == before
    said(checkout, {"python:3-slim": NEW, "host:5000/team/store:7": OTHER})
    code, output = pin(checkout)
    assert (code, f"python:3-slim: {NEW} (was {OLD})" in output) == (0, True)
    assert text(checkout) == before.replace(OLD, NEW)
    assert not list(checkout.rglob("*.old"))


def test_a_check_changes_nothing(checkout: Path) -> None:
    """A tag that has moved on is said; a digest that is gone, or a registry that is away, fails."""
    before = text(checkout)
    said(checkout, {"python:3-slim": NEW, f"python@{OLD}": OLD, "host:5000/team/store:7": OTHER})
    code, output = pin(checkout, "--check")
    assert (code, f"{OLD} exists; the tag is now {NEW}" in output) == (0, True)
    said(checkout, {"python:3-slim": NEW, "host:5000/team/store:7": OTHER})
    code, output = pin(checkout, "--check")
    assert (code, f"{OLD} does not exist" in output) == (1, True)
    assert pin(checkout, "--check", "host:5000/team/store")[0] == 0, "only this one"
    said(checkout, {"python:3-slim": OLD})
    code, output = pin(checkout)
    assert (code, "host:5000/team/store:7: its registry does not say" in output) == (1, True)
    assert text(checkout) == before
