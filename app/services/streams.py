"""Event streams that are open in this process, by key: each costs memory and a place among the connections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.domain.accounts import Caller
from app.domain.errors import Code, OverLimit
from app.services.revocation import Revocation

EACH = 20  # of one key or browser token
TOGETHER = 500  # of a key and all its browser tokens
RETRY_S = 10
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

    @asynccontextmanager
    async def watching(self, caller: Caller) -> AsyncIterator[asyncio.Event]:
        """For the length of a stream: it is counted; the event is set when its key opens nothing any more."""
        names = (caller.digest, caller.key)
        self._open.update(names)
        try:
            async with self._revocation.watching(caller) as closed:
                yield closed
        finally:
            self._open.subtract(names)
            for name in names:
                if self._open[name] <= 0:
                    del self._open[name]
