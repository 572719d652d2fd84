"""The store's clock, which is the only one that decides, and estimates of it."""

import time
from collections.abc import Callable

from app.store.client import Client
from app.store.connection import store_errors


class StoreClock:
    """The store's clock."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def now_ms(self) -> int:
        """Milliseconds since 1970."""
        with store_errors():
            seconds, microseconds = await self._redis.time()
        return milliseconds(seconds, microseconds)


class ClockEstimate:
    """An estimate of the store's clock; used to compute calendar periods, which scripts then verify."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._offset_ms = 0

    def now_ms(self) -> int:
        """The estimated time of the store."""
        return int(self._wall() * 1000) + self._offset_ms

    def learn(self, now_ms: int) -> None:
        """Adjust the estimate to this time of the store."""
        self._offset_ms = now_ms - int(self._wall() * 1000)


def milliseconds(seconds: int | str, microseconds: int | str) -> int:
    """The reply of `TIME` as milliseconds since 1970."""
    return int(seconds) * 1000 + int(microseconds) // 1000
