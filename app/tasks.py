"""Asyncio tasks: cancelled for certain, and repeated for ever.

On Python 3.11, `asyncio.wait_for` loses a cancellation that arrives when its awaitable is already done, and
redis-py uses it: of 400 cancelled loops over a busy connection, 205 were measured to continue. So a task that must
end is cancelled repeatedly until it has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from app.domain.errors import StoreUnavailable

REPEAT_S = 0.1
CHECK_EVERY_S = 1.0

log = structlog.get_logger()


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks repeatedly until all have ended; their results and errors are dropped."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=REPEAT_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it


async def every_second(check: Callable[[], Awaitable[object]]) -> None:
    """Call `check` once a second, without end; errors are logged, an outage of the store is not."""
    while True:
        try:
            await check()
        except StoreUnavailable:
            pass
        except Exception:
            log.exception("check.failed", check=getattr(check, "__qualname__", repr(check)))
        await asyncio.sleep(CHECK_EVERY_S)
