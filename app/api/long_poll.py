"""Calls that are held until something happens; each also ends with the caller's key and with the server."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from app.api.overload import release_permit
from app.api.stopping import stopping
from app.domain.accounts import Caller
from app.domain.errors import Unauthenticated
from app.gateway import Gateway
from app.tasks import cancel_and_wait

T = TypeVar("T")
REVOKED = "The key was revoked while the call was held."


async def long_poll(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    work: Coroutine[Any, Any, T],
    *,
    disconnected: Coroutine[Any, Any, None] | None = None,
) -> T | None:
    """The result of the work; None when the server stops or the caller has `disconnected` first.

    Raises:
        Unauthenticated: the caller's key was revoked, which is checked during the call and at its end.
    """
    release_permit(request)
    closed = asyncio.Event()
    with gateway.accounts.watching(caller, closed.set):
        working = asyncio.create_task(work)
        others: list[asyncio.Task[Any]] = [
            asyncio.create_task(end) for end in (stopping(request).wait(), closed.wait(), disconnected) if end
        ]
        try:
            await asyncio.wait({working, *others}, return_when=asyncio.FIRST_COMPLETED)
            if closed.is_set():
                raise Unauthenticated(REVOKED)
            if not working.done() or (disconnected is not None and others[-1].done()):
                return None
            result = working.result()
            if not await gateway.accounts.is_valid(caller):
                raise Unauthenticated(REVOKED)
            return result
        finally:
            await cancel_and_wait(working, *others)
