"""Event streams that are open in this process, by key: each costs memory and a place among the connections."""

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

EACH = 20  # of one key or browser token
TOGETHER = 500  # of a key and all its browser tokens
RETRY_S = 10
T = TypeVar("T")
REMEDY = "end one of them, or follow all jobs with one stream at /v1/events"


class Streams:
    """Counts streams; those of other processes are not known here."""

    def __init__(self, revocation: Revocation) -> None:
        self._revocation = revocation
        self._open: Counter[str] = Counter()

    def require_room(self, caller: Caller) -> None:
        """OverLimit when the caller has too many; before an answer begins."""
        for name, most in ((caller.digest, EACH), (caller.key, TOGETHER)):
            if self._open[name] >= most:
                sentence = f"The key has {most} event streams open here, the most it may; {REMEDY}."
                raise OverLimit(sentence, code=Code.TOO_MANY_STREAMS, retry_after=RETRY_S)

    async def until_closed(self, caller: Caller, frames: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """What `frames` gives, to its end, or until the caller's key is found to open nothing any more.

        1. count the stream
        2. wait for the next frame, or for the key's end; the frame's task is left alone meanwhile, because a
           cancellation may get lost or lose a frame
        3. a key that opens nothing ends the stream, whatever else is there to be told
        4. in the end the tasks are ended for certain, also when the watcher has gone
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
                    with anyio.CancelScope(shield=True):  # the watcher's own task may be being cancelled
                        await cancel_and_wait(*({closing} if coming is None else {closing, coming}))

    @contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        names = (caller.digest, caller.key)
        self._open.update(names)
        try:
            yield
        finally:
            self._open.subtract(names)
            for name in names:
                if self._open[name] <= 0:
                    del self._open[name]


async def _next(frames: AsyncGenerator[T, None]) -> tuple[T, ...]:
    """The next frame, which may be None; nothing at the end."""
    async for frame in frames:
        return (frame,)
    return ()
