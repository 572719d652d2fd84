"""Following a job: what happened since, and what happens now."""

import asyncio
from contextlib import aclosing

from app.domain.events import END_EVENTS, Event, Notice
from app.domain.ids import join_ref
from app.domain.jobs import Job
from app.services.live import Frame, Frames, follow_events
from app.store.events import EventStore, event_order
from app.store.jobs import JobStore
from app.tasks import cancel_and_wait


class Watch:
    """Events of one job, from a cursor or from now on."""

    def __init__(self, jobs: JobStore, events: EventStore) -> None:
        self._jobs = jobs
        self._events = events

    async def follow(self, job: Job, *, after: str | None) -> Frames:
        """The job's frames until its end.

        1. subscribe first, so that nothing falls between reading and listening
        2. with a cursor that memory reaches: what came after it, then what comes
        3. otherwise (none, too old, of another store): the present state, then what that has not said already
        4. stop after the event of the job's end; where that was before the cursor, it is told once more
        """
        async with self._events.live(job.team) as queue:
            newest = await self._events.newest_id(job.team)
            present = await self._jobs.get(join_ref(job.team, job.id)) or job
            beginning = after if after is not None and await self._reaches(job.team, after, newest) else None
            cursor, known = (newest, present.sequence) if beginning is None else (beginning, 0)
            if beginning is None or (present.status.ended and not await self._more(job, beginning)):
                yield Frame(cursor, _present_state(present, cursor), reset=beginning != after)
                if present.status.ended:
                    return

            def wanted(event: Event | Notice) -> bool:
                return isinstance(event, Event) and event.job.id == job.id and event.sequence > known

            frames = follow_events(self._events, queue, job.team, cursor, wanted=wanted, job=job.id)
            async for frame in frames:
                yield frame
                if frame.event is not None and frame.event.type in END_EVENTS:
                    return

    async def is_caught_up(self, job: Job, *, after: str) -> bool:
        """True when the team's memory goes on from `after` without a gap, and holds nothing more of this job."""
        newest = await self._events.newest_id(job.team)
        return await self._reaches(job.team, after, newest) and not await self._more(job, after)

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

    async def _reaches(self, team: str, after: str, newest: str) -> bool:
        """True when the team's memory goes from `after` to now without a gap."""
        return event_order(after) <= event_order(newest) and await self._events.is_complete_after(team, after)

    async def _more(self, job: Job, cursor: str) -> bool:
        """True when the job has events after the cursor."""
        while True:
            stretch = await self._events.after(job.team, cursor, job=job.id)
            if stretch.events or not stretch.more:
                return bool(stretch.events)
            cursor = stretch.last_id or cursor


def _present_state(job: Job, cursor: str) -> Event:
    return Event(
        id=cursor,
        type=f"job.{job.status.value}",
        sequence=job.sequence,
        at_ms=job.completed_ms or job.created_ms,
        job=job,
    )
