"""Tasks that lose a cancellation still end."""

import asyncio

import pytest

from app.tasks import cancel_and_wait

pytestmark = pytest.mark.anyio


async def test_a_task_that_drops_its_first_cancellation_is_ended() -> None:
    """A library may swallow one cancellation; the task is cancelled again."""
    dropped = 0

    async def stubborn() -> None:
        nonlocal dropped
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                dropped += 1
                if dropped > 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel_and_wait(task), 5)
    assert task.cancelled()
    assert dropped == 3


async def test_the_errors_of_ended_tasks_are_dropped() -> None:
    """It is for tasks whose result is not awaited."""

    async def broken() -> None:
        raise ValueError

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await cancel_and_wait(task)
    assert task.done()
