"""The least rights at the store: documented as the start checks them, and enough for every script."""

import re
from fnmatch import fnmatchcase

import pytest

from app.domain.store_role import StoreRole
from app.store.keys import LIFETIMES, PREFIX
from app.store.rights import KEYS, NOT_FOR_WORKERS, acl, commands
from app.store.script_loader import FOLDER
from tests.support.repo import ROOT

USERS = (ROOT / "deploy" / "redis" / "users.acl").read_text("utf-8").splitlines()


def test_the_page_has_the_rule() -> None:
    """docs/store.md, whatever its line breaks."""
    page = " ".join((ROOT / "docs" / "store.md").read_text("utf-8").split())
    assert acl("filmgate") in page


@pytest.mark.parametrize("role", [StoreRole.API, StoreRole.WORKER, StoreRole.ADMIN])
def test_the_file_of_users_has_each_roles_rule(role: StoreRole) -> None:
    """deploy/redis/users.acl: the rule of the code, and a place for the password's hash; nobody else may enter."""
    assert f"{acl(role, role)} #HASH_OF_{role}" in USERS
    assert [line.split()[:3] for line in USERS if line.startswith("user default")] == [["user", "default", "off"]]


def test_workers_reach_all_but_callers_keys_and_the_audit_log() -> None:
    """Of every name that a key may begin with; a new one with one of their beginnings needs another rule."""
    rules = [rule.replace("[^", "[!") for rule in KEYS[StoreRole.WORKER]]
    reached = {name for name in LIFETIMES if any(fnmatchcase(f"{PREFIX}{name}x", rule) for rule in rules)}
    assert set(LIFETIMES) - reached == NOT_FOR_WORKERS


@pytest.mark.parametrize("role", list(StoreRole))
def test_every_command_of_the_scripts_is_allowed(role: StoreRole) -> None:
    """Redis checks a script's commands against the rights of the user who runs it."""
    texts = [
        file.read_text("utf-8")
        for folder in (FOLDER, FOLDER / "lib")
        for file in folder.iterdir()
        if file.is_file()
    ]
    called = {name.lower() for text in texts for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", text)}
    assert len(called) > 20
    assert called <= commands(role)
