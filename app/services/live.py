"""The loop behind every event stream: the events after a cursor, then new ones."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from app.domain.errors import StoreUnavailable
from app.domain.events import Event, Notice
from app.store.events import EventBatch, EventStore, Queue, event_order

PING_S = 10.0
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


async def follow_events(
    events: EventStore,
    queue: Queue,
    team: str,
    cursor: str,
    *,
    wanted: Callable[[Event | Notice], bool],
    job: str | None = None,
) -> Frames:
    """The team's `wanted` events after `cursor`, without end; `queue` receives new ones.

    1. read the events after the cursor; with `job`, only that job's
    2. then listen; read again when the queue overflowed
    3. a keep-alive after PING_S without an event; its cursor is past the events that are not wanted
    4. an outage of the store shorter than OUTAGE_S does not end the stream, except at the first read
    """
    behind, ping_at, outage_s = True, time.monotonic() + PING_S, 0.0
    while True:
        if behind:
            batch = await _read(events, team, cursor, job=job, outage_s=outage_s)
            new, cursor, behind = batch.events, batch.last_id or cursor, batch.more
            outage_s = OUTAGE_S
        else:
            new, behind = await _next_event(queue, cursor, ping_at - time.monotonic())
        for event in new:
            cursor = max(cursor, event.id, key=event_order)
            if wanted(event):
                ping_at = time.monotonic() + PING_S
                yield Frame(event.id, event)
        if time.monotonic() >= ping_at:
            ping_at = time.monotonic() + PING_S
            yield Frame(cursor)


async def _read(events: EventStore, team: str, cursor: str, *, job: str | None, outage_s: float) -> EventBatch:
    until = time.monotonic() + outage_s
    while True:
        try:
            return await events.after(team, cursor, job=job)
        except StoreUnavailable:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(RETRY_S)


async def _next_event(queue: Queue, cursor: str, seconds: float) -> tuple[list[Event | Notice], bool]:
    """The next event after the cursor, if one comes in time; True when the queue has dropped some."""
    try:
        event = await asyncio.wait_for(queue.get(), seconds)
    except TimeoutError:
        return [], False
    if event is None:
        return [], True
    return [event] if event_order(event.id) > event_order(cursor) else [], False
