"""Calls that are held until something happens: each ends with the caller's key, and with the server."""

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
CLOSED = "The key was revoked while the call was held."


async def long_poll(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    work: Coroutine[Any, Any, T],
    *,
    disconnected: Coroutine[Any, Any, None] | None = None,
) -> T | None:
    """The result of the work; None when the server stops first, or the caller has `disconnected`.

    Raises:
        Unauthenticated: the caller's key was closed meanwhile; looked at while the call is held, and in the end.
    """
    release_permit(request)
    async with gateway.accounts.watching(caller) as closed:
        working = asyncio.create_task(work)
        others: list[asyncio.Task[Any]] = [asyncio.create_task(stopping(request).wait())]
        others.append(asyncio.create_task(closed.wait()))
        leaving = None if disconnected is None else asyncio.create_task(disconnected)
        others += [] if leaving is None else [leaving]
        try:
            await asyncio.wait({working, *others}, return_when=asyncio.FIRST_COMPLETED)
            if closed.is_set():
                raise Unauthenticated(CLOSED)
            if not working.done() or (leaving is not None and leaving.done()):
                return None
            result = working.result()
            if not await gateway.accounts.is_valid(caller):
                raise Unauthenticated(CLOSED)
            return result
        finally:
            await cancel_and_wait(working, *others)
