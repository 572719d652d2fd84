"""Following one job: its events so far, then new ones."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from app.domain.events import END_EVENTS, Event, Notice
from app.domain.jobs import Job
from app.services.live import Following, Frame, Frames, Live
from app.store.events import EventStore, event_order
from app.store.followers import Follower
from app.store.jobs import JobStore
from app.tasks import cancel_and_wait


@dataclass(frozen=True, slots=True)
class Watch:
    """The events of one job."""

    jobs: JobStore
    events: EventStore
    live: Live

    def follow(self, job: Job, *, after: str | None) -> Following[Frame]:
        """The job's frames until its end; `after` is the id of the last event that was received."""
        return Following.begin(lambda follower: self._follow(follower, job, after))

    async def _follow(self, follower: Follower, job: Job, after: str | None) -> Frames:
        """The frames of one follower.

        1. have new events offered before reading, so that none is missed in between
        2. after a cursor from which no event was trimmed: the events after it, then new ones
        3. otherwise (no cursor, one too old, one of another store): the present state, then newer events
        4. stop after the job's last event; if that is before the cursor, send the present state once more
        """
        with self.events.live(job.team, follower, job=job.id):
            newest = await self.events.newest_id(job.team)
            present = await self.jobs.get(job.ref) or job
            start = after if after is not None and await self._is_complete(job.team, after, newest) else None
            cursor, last = (newest, present.sequence) if start is None else (start, 0)
            is_shown = start is None or (present.status.ended and not await self._has_more(job, start))
            if is_shown:
                yield Frame(cursor, _present_state(present, cursor), reset=start != after)
                if present.status.ended:
                    return

            def wanted(event: Event | Notice) -> bool:
                return isinstance(event, Event) and event.job.id == job.id and event.sequence > last

            following = self.live.follow(follower, job.team, cursor, wanted=wanted, job=job.id, begun=is_shown)
            async with aclosing(following) as frames:
                async for frame in frames:
                    yield frame
                    if frame.event is not None and frame.event.type in END_EVENTS:
                        return

    async def is_caught_up(self, job: Job, *, after: str) -> bool:
        """True when the job has ended, and `after` is its last event or a later one."""
        if not job.status.ended:
            return False
        newest = await self.events.newest_id(job.team)
        return await self._is_complete(job.team, after, newest) and not await self._has_more(job, after)

    async def until_end(self, job: Job, *, seconds: float) -> Job:
        """The job at its end, or as it is after `seconds`."""
        if job.status.ended:
            return job
        watching = asyncio.create_task(self._watch_to_end(job))
        try:
            await asyncio.wait({watching}, timeout=seconds)
        finally:  # also when the caller was cancelled
            await cancel_and_wait(watching)
        return await self.jobs.get(job.ref) or job

    async def _watch_to_end(self, job: Job) -> None:
        async with aclosing(self.follow(job, after=None).frames) as frames:
            async for _ in frames:
                pass

    async def _is_complete(self, team: str, after: str, newest: str) -> bool:
        """True when no event between `after` and now was trimmed."""
        return event_order(after) <= event_order(newest) and await self.events.is_complete_after(team, after)

    async def _has_more(self, job: Job, cursor: str) -> bool:
        """True when the job has events after the cursor."""
        while True:
            batch = await self.events.after(job.team, cursor, job=job.id)
            if batch.events or not batch.more:
                return bool(batch.events)
            cursor = batch.last_id or cursor


def _present_state(job: Job, cursor: str) -> Event:
    return Event(
        id=cursor,
        type=f"job.{job.status.value}",
        sequence=job.sequence,
        at_ms=job.completed_ms or job.created_ms,
        job=job,
    )
