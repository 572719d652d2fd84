"""A script call with wrong names is refused before it is sent."""

from importlib import import_module
from typing import Any

import pytest

from app.store.script_loader import load


@pytest.mark.anyio
async def test_a_call_with_a_wrong_name_is_refused_before_it_is_sent() -> None:
    """A misspelt name, one too many, and an unknown script; mypy reports the same earlier."""
    nobody: Any = None
    with pytest.raises(KeyError, match="due"):
        await load("take_due")(nobody, dew="x", limit=1, visibility_ms=1)
    with pytest.raises(TypeError, match=r"take_due.lua does not know more"):
        await load("take_due")(nobody, due="x", more="y", limit=1, visibility_ms=1)
    with pytest.raises(AttributeError, match=r"there is no lua/take_dew.lua"):
        getattr(import_module("app.store.scripts"), "take_dew")  # noqa: B009  mypy knows that it is not there
