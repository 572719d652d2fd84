"""Waits on conditions, with a sentence when they time out."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
Details = Callable[[], Awaitable[str]]


@overload
async def wait_until(
    probe: Callable[[], Awaitable[T]],
    description: str,
    *,
    timeout: float = ...,
    interval: float = ...,
    details: Details | None = ...,
) -> T: ...
@overload
async def wait_until(
    probe: Callable[[], bool],
    description: str,
    *,
    timeout: float = ...,
    interval: float = ...,
    details: Details | None = ...,
) -> bool: ...
async def wait_until(
    probe: Callable[[], Any],
    description: str,
    *,
    timeout: float = 20,
    interval: float = 0.02,
    details: Details | None = None,
) -> Any:
    """The first truthy result of `probe`, a function or a coroutine function.

    Fails after `timeout` seconds; the message has `description`, the last result, and `details`.
    """
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > end:
            how = "" if details is None else f"; {await details()}"
            raise AssertionError(f"waited {timeout} s for: {description}; last answer: {answer!r}{how}")
        await asyncio.sleep(interval)
