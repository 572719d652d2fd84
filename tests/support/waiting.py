"""Waiting on conditions, with a sentence when they do not come."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def wait_until(
    probe: Callable[[], Awaitable[T]], description: str, *, timeout: float = 20, interval: float = 0.02
) -> T:
    """The first truthy answer of `probe`; fails with `description` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        answer = await probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for: {description}; last answer: {answer!r}")
        await asyncio.sleep(interval)
