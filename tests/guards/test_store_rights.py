"""The least rights at the store: documented as the start checks them, and enough for every script."""

import re

from app.store.rights import COMMANDS, acl
from app.store.script_loader import FOLDER
from tests.support.repo import ROOT


def test_the_page_has_the_rule() -> None:
    """docs/store.md, whatever its line breaks."""
    page = " ".join((ROOT / "docs" / "store.md").read_text("utf-8").split())
    assert acl("filmgate") in page


def test_every_command_of_the_scripts_is_allowed() -> None:
    """Redis checks a script's commands against the rights of the user who runs it."""
    texts = [
        file.read_text("utf-8")
        for folder in (FOLDER, FOLDER / "lib")
        for file in folder.iterdir()
        if file.is_file()
    ]
    called = {name.lower() for text in texts for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", text)}
    assert len(called) > 20
    assert called <= set(COMMANDS)
