"""Bounds the event streams that a key has open in this process: each costs memory and a connection."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from app.domain.accounts import Caller
from app.domain.errors import Code, OverLimit
from app.services.live import Following
from app.services.revocation import Revocation

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

    async def until_closed(self, caller: Caller, following: Following[T]) -> AsyncGenerator[T, None]:
        """The stream's frames, until they end or the caller's key is revoked or expires.

        1. count the stream
        2. the key's end is the follower's end, which wakes it
        3. end then, even when a frame is ready
        """
        follower = following.follower
        async with aclosing(following.frames) as frames:
            with self._counted(caller), self._revocation.watching(caller, follower.end):
                async for frame in frames:
                    if follower.ended:
                        return
                    yield frame

    @contextmanager
    def _counted(self, caller: Caller) -> Iterator[None]:
        names = (caller.digest, caller.key)
        self._open.update(names)
        try:
            yield
        finally:
            for name in names:
                self._open[name] -= 1
                if not self._open[name]:
                    del self._open[name]
