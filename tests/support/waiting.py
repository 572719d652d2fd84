"""Waiting on conditions, with a sentence when they do not come."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def wait_until(
    probe: Callable[[], Awaitable[T]],
    description: str,
    *,
    timeout: float = 20,
    interval: float = 0.02,
    standing: Callable[[], Awaitable[str]] | None = None,
) -> T:
    """The first truthy answer of `probe`; fails with `description`, and the standing, after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        answer = await probe()
        if answer:
            return answer
        if time.monotonic() > end:
            how = "" if standing is None else f"; {await standing()}"
            raise AssertionError(f"waited {timeout} s for: {description}; last answer: {answer!r}{how}")
        await asyncio.sleep(interval)
