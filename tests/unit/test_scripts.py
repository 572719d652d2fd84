"""A call of a script whose names do not fit is refused before it is sent."""

from typing import Any

import pytest

from app.store.scripts import script


@pytest.mark.anyio
async def test_a_call_with_a_wrong_name_is_refused_before_it_is_sent() -> None:
    """A misspelt name and one too many are errors of the program."""
    nobody: Any = None
    with pytest.raises(KeyError, match="due"):
        await script("take_due").run(nobody, keys={"dew": "x"}, args={"limit": 1, "visibility_ms": 1})
    with pytest.raises(ValueError, match=r"take_due.lua: unknown \['more'\], missing \[\]"):
        await script("take_due").run(nobody, keys={"due": "x", "more": "y"}, args={"limit": 1, "visibility_ms": 1})
