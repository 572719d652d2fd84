"""A value of the store that may be a little old, because every request asks for it."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What `read` returned in the last `seconds`; while one caller reads it again, the others get the old value."""

    def __init__(self, read: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._kept: tuple[float, T] | None = None  # until when, by the monotonic clock

    async def get(self) -> T:
        """The value; errors are those of `read`, after which the next caller reads again."""
        kept, now = self._kept, time.monotonic()
        if kept is not None and now < kept[0]:
            return kept[1]
        if kept is not None:
            self._kept = (now + self._seconds, kept[1])
        try:
            value = await self._read()
        except BaseException:
            self._kept = None
            raise
        self._kept = (time.monotonic() + self._seconds, value)
        return value

    def forget(self) -> None:
        """Read again next time."""
        self._kept = None
