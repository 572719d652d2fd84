"""A job from the request to the clip, with real workers."""

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


async def test_a_submitted_job_ends_with_a_clip_and_is_charged_once(stack: Stack) -> None:
    """One POST at fal, one clip, one charge on both sides."""
    before = len((await stack.emulator.ledger())["charges"])
    async with stack.workers():
        job = await stack.submit("a boat")
        ended = await stack.until(job["id"], "succeeded", "failed")
    assert ended["status"] == "succeeded"
    assert ended["output"]["video"]["url"].startswith(stack.emulator.url)
    assert ended["charged_usd"] == "1.40"
    charges = (await stack.emulator.ledger())["charges"][before:]
    assert [charge["cost_micro"] for charge in charges] == [1_400_000]
