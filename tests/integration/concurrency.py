"""Many calls at once, as many as one process serves well: with more, the store seems away on a slow machine."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 50


async def concurrently(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each call gives, in order; `AT_ONCE` of them are always under way."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with turn:
            return await call

    return await asyncio.gather(*map(one, calls))
