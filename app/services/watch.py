"""Following a job: what happened since, and what happens now."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from app.domain.events import END_EVENTS, Event
from app.domain.ids import join_ref
from app.domain.jobs import Job
from app.store.events import PAGE, EventStore, order
from app.store.jobs import JobStore

PING_S = 10.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing a watcher is told: an event, a reset (what was missed is forgotten), or that all is well."""

    event: Event | None
    reset: bool = False


PING = Frame(None)
Frames = AsyncGenerator[Frame, None]


class Watch:
    """Events of one job, from a cursor or from now on."""

    def __init__(self, jobs: JobStore, events: EventStore) -> None:
        self._jobs = jobs
        self._events = events

    async def follow(self, job: Job, *, after: str | None) -> Frames:
        """The job's frames until its end.

        1. subscribe first, so that nothing falls between reading and listening
        2. without a cursor, or with one older than memory: the present state
        3. with a cursor: what came after it
        4. then what comes, with a ping when nothing does; after dropped events, read again
        5. stop after the event of the job's end
        """
        async with self._events.live(job.team) as queue:
            cursor = await self._events.newest_id(job.team)
            present = await self._jobs.get(join_ref(job.team, job.id)) or job
            forgotten = after is not None and not await self._events.remembers(job.team, after)
            if after is None or forgotten or present.status.ended:
                yield Frame(_present_state(present, cursor), reset=forgotten)
                if present.status.ended:
                    return
            else:
                cursor = after
            while True:
                async for event in self._since(job, cursor):
                    cursor = event.id
                    yield Frame(event)
                    if event.type in END_EVENTS:
                        return
                async for frame in self._coming(job, queue, cursor):
                    yield frame
                    if frame.event is not None:
                        cursor = frame.event.id
                        if frame.event.type in END_EVENTS:
                            return

    async def until_end(self, job: Job, *, seconds: float) -> Job:
        """The job as it is when it ends, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds), aclosing(self.follow(job, after=None)) as frames:
                async for _ in frames:
                    pass
        except TimeoutError:
            pass
        return await self._jobs.get(join_ref(job.team, job.id)) or job

    async def _since(self, job: Job, cursor: str) -> AsyncGenerator[Event, None]:
        while True:
            page = await self._events.after(job.team, cursor)
            for event in page:
                if event.job.id == job.id:
                    yield event
            if len(page) < PAGE:
                return
            cursor = page[-1].id

    async def _coming(self, job: Job, queue: asyncio.Queue[Event | None], cursor: str) -> Frames:
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), PING_S)
            except TimeoutError:
                yield PING
                continue
            if event is None:
                return
            if event.job.id == job.id and order(event.id) > order(cursor):
                yield Frame(event)


def _present_state(job: Job, cursor: str) -> Event:
    return Event(
        id=cursor,
        type=f"job.{job.status.value}",
        sequence=job.sequence,
        at_ms=job.completed_ms or job.created_ms,
        job=job,
    )
