"""The live loop of every event stream: what came after a cursor, then what comes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from app.domain.errors import StoreUnavailable
from app.domain.events import Event, Notice
from app.store.events import EventBatch, EventStore, Queue, event_order

PING_S = 10.0
OUTAGE_S = 5.0  # of the store, that a stream outlives
AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing a watcher is told: an event, or that all is well; `cursor` is where to go on after it.

    `reset`: some of what came after the watcher's own cursor is forgotten.
    """

    cursor: str
    event: Event | Notice | None = None
    reset: bool = False


Frames: TypeAlias = AsyncGenerator[Frame, None]


async def follow_events(
    events: EventStore,
    queue: Queue,
    team: str,
    cursor: str,
    *,
    wanted: Callable[[Event | Notice], bool],
    job: str | None = None,
) -> Frames:
    """The team's `wanted` events, without end, to a watcher at `cursor` for whom `queue` hears what comes.

    1. read what came after the cursor; with `job`, only what is about it
    2. then listen; after events that the queue had no room for, read again
    3. a ping, whenever nothing was told for so long; its cursor has passed over what is not wanted
    4. a store that goes away meanwhile, and is back soon, ends nothing; the first reading waits for none
    """
    behind, quiet_until, patience_s = True, time.monotonic() + PING_S, 0.0
    while True:
        if behind:
            stretch = await _read(events, team, cursor, job=job, patience_s=patience_s)
            found, cursor, behind = stretch.events, stretch.last_id or cursor, stretch.more
            patience_s = OUTAGE_S
        else:
            found, behind = await _heard(queue, cursor, quiet_until - time.monotonic())
        for event in found:
            cursor = max(cursor, event.id, key=event_order)
            if wanted(event):
                quiet_until = time.monotonic() + PING_S
                yield Frame(event.id, event)
        if time.monotonic() >= quiet_until:
            quiet_until = time.monotonic() + PING_S
            yield Frame(cursor)


async def _read(events: EventStore, team: str, cursor: str, *, job: str | None, patience_s: float) -> EventBatch:
    until = time.monotonic() + patience_s
    while True:
        try:
            return await events.after(team, cursor, job=job)
        except StoreUnavailable:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(AGAIN_S)


async def _heard(queue: Queue, cursor: str, seconds: float) -> tuple[list[Event | Notice], bool]:
    """The next event in the queue, unless it was read before or none comes in time; True after a loss of some."""
    try:
        event = await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return [], False
    if event is None:
        return [], True
    return [event] if event_order(event.id) > event_order(cursor) else [], False
