"""Followers of new events. Each is one task that sleeps until there is something for it.

There may be thousands in a process, so a follower has no queue, no timer and no second task of its own.
"""

import asyncio
from collections.abc import Callable, Iterable

from app.domain.events import Event, Notice

BACKLOG = 1000  # events that a follower has not read yet; a slower one has to read on from its cursor
AT_ONCE = 8  # followers that are woken in one turn of the loop


class Follower:
    """One follower, and all that wakes it: new events, a keep-alive that is due, its end.

    `ended`: its key was revoked or has expired, or it has left.
    """

    __slots__ = ("_due", "_missed", "_new", "_waiter", "ended")

    def __init__(self) -> None:
        self._new: list[Event | Notice] = []
        self._missed = False
        self._due = False
        self._waiter: asyncio.Future[None] | None = None
        self.ended = False

    def offer(self, events: Iterable[Event | Notice]) -> None:
        """New events; of one that reads none, all are dropped once there are too many."""
        self._new.extend(events)
        if len(self._new) > BACKLOG:
            self.miss()
        self._wake()

    def miss(self) -> None:
        """There may be events that are not offered: it has to read on from its cursor."""
        self._new, self._missed = [], True
        self._wake()

    def remind(self) -> None:
        """A keep-alive is due."""
        self._due = True
        self._wake()

    def end(self) -> None:
        """Nothing more is for it."""
        self.ended = True
        self._wake()

    async def wait(self) -> None:
        """Sleep until there is something; returns at once when there is already."""
        if not (self._new or self._missed or self._due or self.ended):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def read(self) -> tuple[list[Event | Notice], bool]:
        """The new events, oldest first; True when there may be others: then read on from the store instead."""
        new, missed = self._new, self._missed
        self._new, self._missed = [], False
        return new, missed

    def needs_keep_alive(self) -> bool:
        """True when one is due; asked again, it is False until the next one is."""
        due, self._due = self._due, False
        return due

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def in_turns(followers: Iterable[Follower], wake: Callable[[Follower], None]) -> None:
    """Wake all of them, a few in each turn of the loop: a thousand in one turn would hold up every request."""
    for number, follower in enumerate(followers, 1):
        wake(follower)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
