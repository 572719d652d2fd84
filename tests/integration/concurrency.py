"""Many calls at once, no more than one process serves well: with more, a slow machine's store seems unavailable."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 20


async def concurrently(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The result of each call, in order; `AT_ONCE` of them always run."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(call: Coroutine[Any, Any, T]) -> T:
        async with turn:
            return await call

    return await asyncio.gather(*map(one, calls))
