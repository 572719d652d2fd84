"""Emulated time: it can run faster than the wall clock, or stop."""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Callable


class Clock:
    """The clock and its scheduled actions; everything in the emulator that waits for a time is scheduled here.

    Times are emulated seconds since the start, `speed` of them in a real second.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.paused = False
        self._origin = 0.0
        self._origin_real = time.monotonic()
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wake = asyncio.Event()

    def now(self) -> float:
        """Emulated seconds since the start."""
        rate = 0.0 if self.paused else self.speed
        return self._origin + (time.monotonic() - self._origin_real) * rate

    def set_speed(self, speed: float) -> None:
        """Sets the emulated seconds in a real second."""
        self._rebase()
        self.speed = speed
        self._wake.set()

    def pause(self) -> None:
        """Stops time: nothing starts or ends, but HTTP requests are answered."""
        self._rebase()
        self.paused = True

    def resume(self) -> None:
        """Continues after `pause`."""
        self._rebase()
        self.paused = False
        self._wake.set()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Calls `action` when `now()` reaches `when`; never for infinity."""
        if math.isinf(when):
            return
        heapq.heappush(self._entries, (when, next(self._numbers), action))
        if self._entries[0][0] == when:
            self._wake.set()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Calls `action` after so many emulated seconds."""
        self.at(self.now() + seconds, action)

    async def run(self) -> None:
        """Runs due actions for ever; sleeps until the next entry or a change."""
        while True:
            while not self.paused and self._entries and self._entries[0][0] <= self.now():
                heapq.heappop(self._entries)[2]()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._real_seconds_to_next()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _real_seconds_to_next(self) -> float | None:
        if self.paused or not self._entries:
            return None
        # A millisecond at least: the event loop's own clock is coarser than the heap's arithmetic.
        return max(0.001, (self._entries[0][0] - self.now()) / self.speed)

    def _rebase(self) -> None:
        self._origin = self.now()
        self._origin_real = time.monotonic()
