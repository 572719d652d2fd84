"""Failures that test_any_order.py found, each as a few fixed steps."""

import pytest

from app.domain.errors import Conflict
from app.domain.ledger import Correction
from tests.support.pipeline import Pipeline

pytestmark = pytest.mark.anyio
PRICE = 1_400_000


async def test_a_job_is_not_corrected_to_less_than_nothing(pipeline: Pipeline) -> None:
    """Where a correction without a job took the money away, a job's own is refused, and nothing changes."""
    job = await pipeline.ended()
    books = pipeline.gateway.ledger
    await books.correct("tester", pipeline.team, micro=-1_000_000, reason="a gift")
    with pytest.raises(Conflict, match="Less than nothing") as refused:
        await books.correct_job("tester", pipeline.team, job.id, actual=0, reason="fal billed nothing")
    assert refused.value.code == "below_zero"
    assert await pipeline.money() == (0, PRICE - 1_000_000)
    assert (await pipeline.job(job.id)).charged_micro == PRICE
    outcome = await books.correct_job("tester", pipeline.team, job.id, actual=1_000_000, reason="fal billed less")
    assert outcome is Correction.CORRECTED
    assert await pipeline.money() == (0, 0)
