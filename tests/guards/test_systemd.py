"""The units of deploy/systemd: systemd accepts them, they are confined, and name what exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.command import COMMANDS
from app.settings import KNOWN_NAMES
from tests.support.repo import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/opt/filmgate/bin/filmgate"  # where docs/deployment.md installs it
EXPOSED = "20"  # of 100, by `systemd-analyze security`; a unit without any protection has 96
NEEDS_SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")

pytestmark = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)


def analyze(*words: str) -> tuple[int, str]:
    """The exit code and the errors of systemd-analyze."""
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.returncode, done.stderr


@NEEDS_SYSTEMD
def test_systemd_accepts_it_and_finds_it_confined(unit: Path, tmp_path: Path) -> None:
    """Without a warning; only the program is another one, which exists here."""
    here = tmp_path / unit.name
    here.write_text(unit.read_text("utf-8").replace(PROGRAM, "/bin/true"), "utf-8")
    assert analyze("verify", str(here)) == (0, "")
    assert analyze("security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager", str(here))[0] == 0


def test_what_it_names_exists(unit: Path) -> None:
    """The command, the settings, and each secret: made by deploy/secrets.sh, loaded, and given to a setting."""
    text = unit.read_text("utf-8")
    (command,) = re.findall(rf"^ExecStart={PROGRAM} (\w+)$", text, re.MULTILINE)
    assert command in COMMANDS
    settings = dict(re.findall(r"^Environment=(\w+)=(\S+)$", text, re.MULTILINE))
    assert set(settings) - KNOWN_NAMES == set()
    loaded = dict(re.findall(r"^LoadCredential=(\w+):/etc/filmgate/secrets/(\w+)$", text, re.MULTILINE))
    assert {value for key, value in settings.items() if key.endswith("_FILE")} == {f"%d/{name}" for name in loaded}
    role = unit.stem.removeprefix("filmgate-")
    assert loaded["store_url"] == f"store_url_{role}"
    assert f"StateDirectory=filmgate-{role}\n" in text
    assert settings["FILMGATE_DATA_DIR"] == f"%S/filmgate-{role}"
