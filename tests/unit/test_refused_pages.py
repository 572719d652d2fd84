"""The log of web pages that may not call."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from app.api.refused_pages import LONGEST_ORIGIN, MOST_ORIGINS, RefusedPages

pytestmark = pytest.mark.anyio


async def nothing(*_: Any) -> Any:
    """An application that does not answer."""


async def test_invented_origins_do_not_fill_the_log() -> None:
    """A process names so many, and so much of each; a call that is no preflight is not looked at."""
    pages = RefusedPages(nothing, allowed=["https://app.example.com"])
    asking = (b"access-control-request-method", b"POST")
    with capture_logs() as lines:
        for number in range(2 * MOST_ORIGINS):
            origin = (b"origin", b"https://%d." % number + b"x" * 1000)
            for headers in ([origin], [origin, asking], [(b"origin", b"https://app.example.com"), asking]):
                await pages({"type": "http", "method": "OPTIONS", "headers": headers}, nothing, nothing)
            await pages({"type": "http", "method": "POST", "headers": [origin, asking]}, nothing, nothing)
    assert len(lines) == MOST_ORIGINS
    assert {len(line["origin"]) for line in lines} == {LONGEST_ORIGIN}
