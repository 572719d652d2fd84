"""The README names everything that others rely on."""

import re

import pytest

from app.api.problems import TITLES
from app.domain.events import EVENT_TYPES
from app.main import create_app
from app.settings import CLIENT_NAMES, Settings, load_settings
from tests.support.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def api_routes() -> list[str]:
    """`METHOD path` of every operation in the OpenAPI document."""
    paths = create_app(load_settings({})).openapi()["paths"]
    return [f"{method.upper()} {path}" for path, operations in paths.items() for method in operations]


@pytest.mark.parametrize("name", sorted({f.alias or "" for f in Settings.model_fields.values()} | CLIENT_NAMES))
def test_every_setting_is_in_the_readme(name: str) -> None:
    """A setting nobody can find is no setting."""
    assert f"`{name}`" in README


@pytest.mark.parametrize("route", api_routes())
def test_every_route_is_in_the_readme(route: str) -> None:
    """A route is documented where people look first."""
    assert f"`{route}`" in README


@pytest.mark.parametrize("code", sorted(TITLES))
def test_every_error_code_is_in_the_readme(code: str) -> None:
    """A code in a problem document can be looked up."""
    assert f"`{code}`" in README


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_event_type_is_in_the_readme(kind: str) -> None:
    """Consumers know what may arrive."""
    assert f"`{kind}`" in README


def test_the_readme_has_no_setting_that_does_not_exist() -> None:
    """The other way round: what the README names is there."""
    known = {field.alias for field in Settings.model_fields.values()} | CLIENT_NAMES
    named = {name for name in re.findall(r"`(FILMGATE_[A-Z_]+)`", README) if not name.endswith("_")}
    assert named <= known
