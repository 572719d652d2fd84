"""A new version on three hosts behind a balancer, one after the other: no caller notices."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.netns import why_not
from tests.crash.rolling import FORMS, HOSTS, rolled

LONGEST_S = 900

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(LONGEST_S)]


async def test_a_rolling_deployment_is_not_noticed(
    request: pytest.FixtureRequest, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """No call refused or cut, no job lost or bought twice, no event missed; all of them end with 0 within 30 s."""
    reason = why_not() or (None if shutil.which("haproxy") else "there is no haproxy")
    if reason is not None and not os.environ.get("CI"):
        pytest.skip(reason)
    form = "long" if request.getfixturevalue("full") else "short"
    outcome = await rolled(tmp_path, form)
    say(str(outcome))
    assert outcome.faults() == {}
    assert len(outcome.stops["api"]) == len(outcome.stops["workers"]) == len(HOSTS) * FORMS[form].rounds
    assert outcome.reconnected > 0, "no stream was moved"
    assert outcome.acknowledged > len(HOSTS)
    assert outcome.reads > outcome.acknowledged
