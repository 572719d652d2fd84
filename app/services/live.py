"""What every event stream does: the events after a cursor, then new ones, and keep-alives while there are none."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeAlias, TypeVar

from app.domain.errors import StoreUnavailable
from app.domain.events import Event, Notice
from app.store.events import EventBatch, EventStore, event_order
from app.store.followers import Follower, in_turns

PING_S = 10.0
TICK_S = 0.2  # a keep-alive is so late at most
OUTAGE_S = 5.0  # a stream outlives such an outage of the store
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Frame:
    """One stream item: an event, or a keep-alive without one; `cursor` is where to resume after it.

    `reset`: some events after the watcher's own cursor were trimmed.
    """

    cursor: str
    event: Event | Notice | None = None
    reset: bool = False


Frames: TypeAlias = AsyncGenerator[Frame, None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Following(Generic[T]):
    """One stream: its frames, and the follower whose end is theirs."""

    follower: Follower
    frames: AsyncGenerator[T, None]

    @classmethod
    def begin(cls, frames: Callable[[Follower], AsyncGenerator[T, None]]) -> "Following[T]":
        """A stream with a follower of its own."""
        follower = Follower()
        return cls(follower, frames(follower))


class Live:
    """Follows events, with one timer for the keep-alives of all streams."""

    def __init__(self, events: EventStore) -> None:
        self.events = events
        self._silent: dict[Follower, float] = {}  # since when, the longest first
        self._timer: asyncio.Task[None] | None = None

    async def follow(
        self,
        follower: Follower,
        team: str,
        cursor: str,
        *,
        wanted: Callable[[Event | Notice], bool],
        job: str | None = None,
        begun: bool = False,
    ) -> Frames:
        """The team's `wanted` events after `cursor`, until the follower's end; it is offered new ones already.

        1. read the events after the cursor; with `job`, only that job's
        2. then wait for new ones; read again when the follower has missed some
        3. a keep-alive after PING_S without an event; its cursor is past the events that are not wanted
        4. an outage of the store shorter than OUTAGE_S does not end the stream, except at the first read: its
           caller gets a 503 then, unless a frame was sent before (`begun`)
        """
        behind, outage_s = True, OUTAGE_S if begun else 0.0
        self._restart(follower)
        try:
            while not follower.ended:
                if behind:
                    batch = await self._read(follower, team, cursor, job=job, outage_s=outage_s)
                    new, last, behind, outage_s = batch.events, batch.last_id or cursor, batch.more, OUTAGE_S
                else:
                    await follower.wait()
                    offered, behind = follower.read()
                    new = [event for event in offered if event_order(event.id) > event_order(cursor)]
                    last = new[-1].id if new else cursor
                for event in new:
                    if wanted(event):
                        self._restart(follower)
                        yield Frame(event.id, event)
                cursor = last
                if follower.needs_keep_alive():
                    self._restart(follower)
                    yield Frame(cursor)
        finally:
            self._silent.pop(follower, None)

    async def _read(
        self, follower: Follower, team: str, cursor: str, *, job: str | None, outage_s: float
    ) -> EventBatch:
        until = time.monotonic() + outage_s
        while True:
            try:
                return await self.events.after(team, cursor, job=job)
            except StoreUnavailable:
                if time.monotonic() >= until or follower.ended:
                    raise
            await asyncio.sleep(RETRY_S)

    def _restart(self, follower: Follower) -> None:
        """Something is sent to it: its next keep-alive is due after PING_S."""
        self._silent.pop(follower, None)
        self._silent[follower] = time.monotonic()
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._keep_alive(), name="keep-alives", context=Context())

    async def _keep_alive(self) -> None:
        """Remind the followers of their keep-alives, while there are followers."""
        while self._silent:
            await asyncio.sleep(TICK_S)
            await in_turns(self._due(time.monotonic() - PING_S), Follower.remind)

    def _due(self, since: float) -> list[Follower]:
        """The followers that were sent nothing since then."""
        return [follower for follower, _ in takewhile(lambda silent: silent[1] <= since, self._silent.items())]
