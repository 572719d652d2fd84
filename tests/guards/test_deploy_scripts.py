"""The scripts of deploy/: a whole set of secrets or a refusal, and a failed installation that leaves nothing."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.repo import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "deploy").glob("*.sh"))
ROLES = ("api", "worker", "admin")
SECRETS = {"fal_key", "admin_key", "hook_secret", "store_acl", *(f"store_url_{role}" for role in ROLES)}
STORE = "store.test:6379"
PYTHON = """#!/bin/sh
case "$*" in
*venv*) for word; do folder=$word; done; mkdir -p "$folder/bin" ;;
*pip*) for word; do [ "$last" != --target ] || folder=$word; last=$word; done; mkdir -p "$folder/bin"
    printf '#!/bin/sh\\n%s\\n' "$UV" >"$folder/bin/uv"; chmod 700 "$folder/bin/uv" ;;
esac
"""


def ran(script: str, *words: str, path: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of deploy/ to its end."""
    env["PATH"] = f"{path}:{os.environ['PATH']}"
    command = [str(ROOT / "deploy" / script), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603  ours


def secrets(folder: Path, *, code: int = 0) -> str:
    """Run secrets.sh, which must end with this code; what it says to the person."""
    done = ran("secrets.sh", str(folder), STORE, FAL_KEY="a:key")
    assert (done.returncode, bool(done.stdout)) == (code, code == 0), done
    return done.stderr


def contents(folder: Path) -> dict[str, str]:
    """Every secret, after they were found to belong together."""
    found = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert found.keys() == SECRETS
    for role in ROLES:
        password = re.fullmatch(rf"redis://{role}:([0-9a-f]{{64}})@{STORE}/0", found[f"store_url_{role}"])
        assert password is not None
        assert f"#{hashlib.sha256(password[1].encode()).hexdigest()}" in found["store_acl"]
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_head_of_the_script_and_an_unknown_option_does_nothing(script: str, tmp_path: Path) -> None:
    """It is no name of a folder or of an image."""
    said = subprocess.run(  # noqa: S603  ours
        [str(ROOT / "deploy" / script), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"deploy/{script}" in said.stdout
    assert not re.search("^(#|set )", said.stdout, flags=re.MULTILINE)
    wrong = ran(script, "--nothing")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--help" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


def test_lost_secrets_are_made_again_or_refused_and_the_others_stay(tmp_path: Path) -> None:
    """Each in turn: a URL is refused, because its hash remains; the list of users is made from the URLs."""
    folder = tmp_path / "secrets"
    secrets(folder)
    before = contents(folder)
    for name in sorted(SECRETS):
        (folder / name).unlink()
        if name.startswith("store_url"):
            assert f"{name} is missing" in secrets(folder, code=1)
            (folder / name).write_text(before[name], "utf-8")
        assert secrets(folder) == ""
        after = contents(folder)
        changed = {other for other in SECRETS if after[other] != before[other]}
        assert changed == {name} & {"admin_key", "hook_secret"}
        before = after


def test_after_an_update_the_list_of_users_has_its_rights_and_the_same_passwords(tmp_path: Path) -> None:
    """A user of one's own stays; nothing is said when nothing changes; a list without hashes is refused."""
    folder = tmp_path / "secrets"
    secrets(folder)
    before = contents(folder)
    older = before["store_acl"].replace(" +zscore", "").replace("user admin on", "user admin on ~rq:*")
    own = "user grafana on ~fg:* -@all +info nopass\n"
    listed = folder / "store_acl"
    listed.chmod(0o600)
    listed.write_text(older + own, "utf-8")
    assert "let the store read it again" in secrets(folder)
    assert contents(folder) == {**before, "store_acl": before["store_acl"] + own}
    assert secrets(folder) == ""
    listed.chmod(0o600)
    listed.write_text(re.sub("#[0-9a-f]{64}", "nopass", older), "utf-8")
    assert "no hash of a password of a user api" in secrets(folder, code=1)


def test_secrets_that_are_cut_short_or_of_another_store_are_said(tmp_path: Path) -> None:
    """An empty file is a lost one; a URL of one's own stays; one without a password gives no list of users."""
    folder = tmp_path / "secrets"
    secrets(folder)
    (folder / "admin_key").chmod(0o600)
    (folder / "admin_key").write_text("")
    secrets(folder)
    contents(folder)
    (folder / "store_url_api").chmod(0o600)
    (folder / "store_url_api").write_text("redis://api:given@elsewhere:6379/0")
    assert "leads to another store" in secrets(folder)
    (folder / "store_url_api").write_text("redis://elsewhere:6379/0")
    (folder / "store_acl").unlink()
    assert "no plain password of a user api" in secrets(folder, code=1)
    assert not (folder / "store_acl").exists()


@pytest.mark.parametrize("uv", ["exit 1", "kill $PPID"], ids=["fails", "is stopped"])
def test_an_installation_that_fails_leaves_nothing(tmp_path: Path, uv: str) -> None:
    """The environment that was begun is removed; one that was there before is not touched."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(PYTHON)
    python.chmod(0o700)
    target = tmp_path / "installed"
    environment = {"path": str(python.parent), "TMPDIR": str(tmp_path / "work"), "UV": uv}
    assert ran("install.sh", str(target), **environment).returncode != 0
    assert not target.exists()
    assert list((tmp_path / "work").iterdir()) == []
    target.mkdir()
    assert "exists already" in ran("install.sh", str(target), **environment).stderr
    assert target.exists()
    shutil.rmtree(target)
    assert ran("install.sh", str(target), "no.lock", **environment).returncode == 2
