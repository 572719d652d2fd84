"""The pages list everything that others rely on."""

import re
from collections.abc import Iterable

from app.cli.command import COMMANDS
from app.domain.errors import Code
from app.domain.events import EVENT_TYPES
from app.settings import CLIENT_NAMES, Settings
from tests.guards.openapi_document import drawn
from tests.support.repo import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
SETTINGS = {field.alias or "" for field in Settings.model_fields.values()} | CLIENT_NAMES


def not_in_the_readme(names: Iterable[str]) -> list[str]:
    """Those that are not in it between backticks."""
    return [name for name in names if f"`{name}`" not in README]


def api_routes() -> list[str]:
    """`METHOD path` of every operation in the OpenAPI document."""
    return [f"{method.upper()} {path}" for path, found in drawn()["paths"].items() for method in found]


def test_every_setting_is_on_its_page() -> None:
    """An undocumented setting cannot be found."""
    assert [name for name in sorted(SETTINGS) if f"`{name}`" not in SETTINGS_PAGE] == []


def test_every_route_is_in_the_readme() -> None:
    """A route is documented where people look first."""
    assert not_in_the_readme(api_routes()) == []


def test_every_error_code_is_in_the_readme() -> None:
    """A code in a problem document can be looked up."""
    assert not_in_the_readme(sorted(Code)) == []


def test_every_event_type_is_in_the_readme() -> None:
    """Consumers know which events exist."""
    assert not_in_the_readme(EVENT_TYPES) == []


def test_every_command_is_in_the_readme() -> None:
    """The list that begins with `filmgate up` has each of them."""
    (listed,) = re.findall(r"^The command: (.*?)\. Exit codes", README, re.MULTILINE | re.DOTALL)
    assert sorted(set(COMMANDS) - set(re.findall(r"\w+", listed))) == []


def test_the_page_has_no_setting_that_does_not_exist() -> None:
    """The other way round: every setting on the page exists."""
    named = {name for name in re.findall(r"`(FILMGATE_[A-Z_]+)`", SETTINGS_PAGE) if not name.endswith("_")}
    assert sorted(named - SETTINGS) == []
