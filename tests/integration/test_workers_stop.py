"""What a worker does with a submission that has no answer yet, when it is told to stop."""

import asyncio
import time

import pytest

from app.domain.jobs import Money, Status
from app.fal.client import SUBMIT_SECONDS
from tests.support.pipeline import Pipeline
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_what_is_not_known_is_written_down_before_the_end(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The POST is given up sooner than usual, so that its own worker holds the job before it would be killed."""
    monkeypatch.setattr("app.fal.client.LAST_SUBMIT_SECONDS", 0.2)
    job_id = await pipeline.grant("[emu:submit_hang] and stop")
    buying = asyncio.create_task(pipeline.submit(job_id))

    async def posted() -> bool:
        return any("and stop" in one["prompt"] for one in await pipeline.stack.emulator.requests())

    await wait_until(posted, "the job is at fal")
    began = time.monotonic()
    pipeline.gateway.fal.hurry()
    job = await buying
    assert time.monotonic() - began < SUBMIT_SECONDS / 3
    assert (job.status, job.held_reason, job.money) == (Status.HELD, "no_answer_in_time", Money.RESERVED)
