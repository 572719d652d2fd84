"""Several hosts behind Sentinel: whatever fails, no acknowledged job is lost, and nothing is bought twice."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.host_faults import FAULTS, faults
from tests.crash.netns import why_not

TOGETHER = (  # each row runs on its own hosts
    ("primary_killed", "partition", "api_killed"),
    ("primary_cut", "replica_behind"),
    ("primary_frozen", "both_killed", "workers_killed_and_frozen"),
)
LONGEST_S = 1800
COMES_BACK_S = 3.0  # from the first acknowledged job until fal gets one
SLOW_S = 3.0  # in addition, on a busy machine
WITHOUT_WORKERS = "workers_killed_and_frozen"  # the fault in which the store stays up

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def _networks() -> None:
    """Skip where no networks can be made; in CI, fail instead."""
    reason = why_not()
    if reason is not None and not os.environ.get("CI"):
        pytest.skip(reason)
    assert reason is None


def test_every_fault_happens_once() -> None:
    """No fault is missing in the grouping."""
    assert sorted(name for names in TOGETHER for name in names) == sorted(FAULTS)


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
@pytest.mark.timeout(LONGEST_S)
async def test_no_fault_of_a_host_loses_a_job_or_buys_one_twice(
    request: pytest.FixtureRequest, names: tuple[str, ...], tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Every job with a 202 ends, fal got each once, and one within 3 s of the first accepted again."""
    form = "long" if request.getfixturevalue("full") else "short"
    wrong = []
    async for outcome in faults(tmp_path, form, names):
        say(str(outcome))
        late = outcome.back_s > COMES_BACK_S + SLOW_S and outcome.fault != WITHOUT_WORKERS
        bad = outcome.lost or outcome.bought_twice or outcome.given_up or outcome.stalled or late
        wrong += [str(outcome)] if bad else []
    assert wrong == []
