"""Bounds the event streams that a key has open in this process: each costs memory and a connection."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

import anyio

from app.domain.accounts import Caller
from app.domain.errors import Code, OverLimit
from app.services.revocation import Revocation
from app.tasks import cancel_and_wait

MAX_STREAMS = 20  # of one key or browser token
MAX_STREAMS_WITH_TOKENS = 500  # of a key and all its browser tokens
RETRY_S = 10
T = TypeVar("T")
REMEDY = "end one of them, or follow all jobs with one stream at /v1/events"


class Streams:
    """Counts this process's streams by key, and ends them with their key."""

    def __init__(self, revocation: Revocation) -> None:
        self._revocation = revocation
        self._open: Counter[str] = Counter()

    def require_room(self, caller: Caller) -> None:
        """OverLimit when the caller has too many; to be called before the reply begins."""
        for name, most in ((caller.digest, MAX_STREAMS), (caller.key, MAX_STREAMS_WITH_TOKENS)):
            if self._open[name] >= most:
                sentence = f"The key has {most} event streams open here, the most it may; {REMEDY}."
                raise OverLimit(sentence, code=Code.TOO_MANY_STREAMS, retry_after=RETRY_S)

    async def until_closed(self, caller: Caller, frames: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The `frames`, until they end or the caller's key is revoked or expires.

        1. count the stream
        2. wait for the next frame or the key's end; the frame's task is not cancelled meanwhile, because that may
           lose a frame
        3. end with the key, even when a frame is ready
        4. in the end wait until both tasks have ended, also when the watcher has left
        """
        async with aclosing(frames), self._revocation.watching(caller) as closed:
            with self._counted(caller):
                closing = asyncio.create_task(closed.wait())
                coming: asyncio.Task[tuple[T, ...]] | None = None
                try:
                    while True:
                        coming = asyncio.create_task(_next(frames))
                        await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                        if closed.is_set():
                            return
                        if not (found := coming.result()):
                            return
                        yield found[0]
                finally:
                    with anyio.CancelScope(shield=True):  # the watcher's task may be under cancellation
                        await cancel_and_wait(*({closing} if coming is None else {closing, coming}))

    @contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        names = (caller.digest, caller.key)
        self._open.update(names)
        try:
            yield
        finally:
            self._open -= Counter(names)  # which also drops zeros


async def _next(frames: AsyncGenerator[T, None]) -> tuple[T, ...]:
    """The next frame, which may be None, in a tuple; an empty one at the end."""
    async for frame in frames:
        return (frame,)
    return ()
