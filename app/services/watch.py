"""Following a job: what happened since, and what happens now."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TypeVar

import anyio

from app.domain.events import END_EVENTS, Event
from app.domain.ids import join_ref
from app.domain.jobs import Job
from app.store.events import EventStore, Queue, order
from app.store.jobs import JobStore
from app.tasks import cancel_and_wait

PING_S = 10.0

T = TypeVar("T")


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
        2. without a cursor, or with one that memory does not reach (too old, or of another store): the present
           state, and later nothing that it has said already
        3. with a cursor: what came after it; where the job has ended and nothing did, its end once more
        4. then what comes, with a ping when nothing does; after dropped events, read again
        5. stop after the event of the job's end
        """
        async with self._events.live(job.team) as queue:
            newest = await self._events.newest_id(job.team)
            present = await self._jobs.get(join_ref(job.team, job.id)) or job
            if after is not None and await self._reaches(job.team, after, newest):
                frames = self._onward(present, queue, cursor=after, told=0)
            else:
                yield Frame(_present_state(present, newest), reset=after is not None)
                if present.status.ended:
                    return
                frames = self._onward(present, queue, cursor=newest, told=present.sequence)
            async for frame in frames:
                yield frame

    async def all_told(self, job: Job, *, after: str) -> bool:
        """True when the team's memory goes on from `after` without a gap, and holds nothing more of this job."""
        if not await self._reaches(job.team, after, await self._events.newest_id(job.team)):
            return False
        async with aclosing(self._since(job, after)) as coming:
            return await anext(coming, None) is None

    async def _onward(self, job: Job, queue: Queue, *, cursor: str, told: int) -> Frames:
        """What came after the cursor, then what comes; `told` is the last sequence that the watcher knows of."""
        while True:
            async for event in self._since(job, cursor):
                cursor = event.id
                if event.sequence > told:
                    yield Frame(event)
                if event.type in END_EVENTS:
                    return
            if job.status.ended:
                yield Frame(_present_state(job, cursor))
                return
            async for frame in self._coming(job, queue, cursor):
                if frame.event is None or frame.event.sequence > told:
                    yield frame
                if frame.event is not None:
                    cursor = frame.event.id
                    if frame.event.type in END_EVENTS:
                        return

    async def _reaches(self, team: str, after: str, newest: str) -> bool:
        """True when the team's memory goes from `after` to now without a gap."""
        return order(after) <= order(newest) and await self._events.remembers(team, after)

    async def until_end(self, job: Job, *, seconds: float) -> Job:
        """The job as it is when it ends, or after `seconds`."""
        watching = asyncio.create_task(self._watch_to_end(job))
        try:
            await asyncio.wait({watching}, timeout=seconds)
        finally:  # also when nobody waits any more
            await cancel_and_wait(watching)
        return await self._jobs.get(join_ref(job.team, job.id)) or job

    async def _watch_to_end(self, job: Job) -> None:
        async with aclosing(self.follow(job, after=None)) as frames:
            async for _ in frames:
                pass

    async def _since(self, job: Job, cursor: str) -> AsyncGenerator[Event, None]:
        while True:
            stretch = await self._events.after(job.team, cursor, job=job.id)
            for event in stretch.events:
                if isinstance(event, Event):
                    yield event
            if not stretch.more:
                return
            cursor = stretch.last_id or cursor

    async def _coming(self, job: Job, queue: Queue, cursor: str) -> Frames:
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), PING_S)
            except TimeoutError:
                yield PING
                continue
            if event is None:
                return
            if isinstance(event, Event) and event.job.id == job.id and order(event.id) > order(cursor):
                yield Frame(event)


def _present_state(job: Job, cursor: str) -> Event:
    return Event(
        id=cursor,
        type=f"job.{job.status.value}",
        sequence=job.sequence,
        at_ms=job.completed_ms or job.created_ms,
        job=job,
    )


async def until_closed(
    frames: AsyncGenerator[T, None], watching: AbstractAsyncContextManager[asyncio.Event]
) -> AsyncGenerator[T, None]:
    """What `frames` gives, to its end, or until the watcher's key is found to open nothing any more.

    1. wait for the next frame, or for the key's end; the frame's task is left alone meanwhile, because a
       cancellation may get lost or lose a frame
    2. a key that opens nothing ends the stream, whatever else is there to be told
    3. in the end the tasks are ended for certain, also when the watcher has gone
    """
    async with aclosing(frames), watching as closed:
        closing = asyncio.create_task(closed.wait())
        coming: asyncio.Task[T | None] | None = None
        try:
            while True:
                coming = asyncio.create_task(_next(frames))
                await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                if closed.is_set():
                    return
                frame = coming.result()
                if frame is None:
                    return
                yield frame
        finally:
            with anyio.CancelScope(shield=True):  # the watcher's own task is being cancelled, again and again
                await cancel_and_wait(*({closing} if coming is None else {closing, coming}))


async def _next(frames: AsyncGenerator[T, None]) -> T | None:
    return await anext(frames, None)
