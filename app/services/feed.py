"""The feed: a team's events in order, by pages or live."""

import re
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from app.domain.access import require_scope, sees
from app.domain.accounts import Caller, Scope
from app.domain.errors import Code, Malformed
from app.domain.events import Event, Notice
from app.services.live import Following, Frame, Frames, Live
from app.store.events import PAGE, EventStore, event_order
from app.store.followers import Follower

BEGINNING = "0-0"  # before the oldest event
SCAN_LIMIT = 4 * PAGE  # events that one request reads at most
CURSOR = re.compile(r"[0-9]{1,15}-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events, oldest first. `next_cursor` is the last one read; `has_more`: there may be more now."""

    events: list[Event | Notice]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class Feed:
    """The events that a caller may see."""

    events: EventStore
    live: Live

    async def page(self, caller: Caller, *, cursor: str | None, limit: int) -> FeedPage:
        """Up to `limit` events after the cursor; Malformed when it cannot be one.

        1. begin after the cursor, or with the oldest event kept
        2. keep the events that the caller may see; the cursor passes the others
        3. stop when the page is full, at the newest event, or after SCAN_LIMIT events
        """
        cursor = _checked(caller, cursor) or BEGINNING
        events: list[Event | Notice] = []
        count = min(PAGE, limit + 1) if caller.sees_team else PAGE  # who sees the team mostly needs one batch
        for _ in range(0, SCAN_LIMIT, count):
            batch = await self.events.after(caller.team, cursor, count=count)
            for event in batch.events:
                if _may_see(caller, event):
                    if len(events) == limit:
                        return FeedPage(events, cursor, has_more=True)
                    events.append(event)
                cursor = event.id
            cursor = batch.last_id or cursor
            if not batch.more:
                return FeedPage(events, cursor, has_more=False)
        return FeedPage(events, cursor, has_more=True)

    def follow(self, caller: Caller, *, cursor: str | None) -> Following[Frame]:
        """The events after the cursor, then new ones, without end. Malformed at once, before the stream begins."""
        checked = _checked(caller, cursor)
        return Following.begin(lambda follower: self._follow(follower, caller, checked))

    async def _follow(self, follower: Follower, caller: Caller, cursor: str | None) -> Frames:
        """The frames of one follower.

        1. have new events offered before reading, so that none is missed in between
        2. a first frame with the cursor where the stream begins
        3. the events since, then new ones
        """
        with self.events.live(caller.team, follower):
            first = await self._first_frame(caller.team, cursor)
            yield first
            wanted = partial(_may_see, caller)
            following = self.live.follow(follower, caller.team, first.cursor, wanted=wanted, begun=True)
            async with aclosing(following) as frames:
                async for frame in frames:
                    yield frame

    async def _first_frame(self, team: str, cursor: str | None) -> Frame:
        """Where to begin: at the cursor; at the newest event without one, or with one of another store."""
        newest = await self.events.newest_id(team)
        if cursor is None:
            return Frame(newest)
        if event_order(cursor) > event_order(newest):
            return Frame(newest, reset=True)
        complete = cursor in {newest, BEGINNING} or await self.events.is_complete_after(team, cursor)
        return Frame(cursor, reset=not complete)


def _checked(caller: Caller, cursor: str | None) -> str | None:
    require_scope(caller, Scope.JOBS_READ)
    if cursor is not None and not CURSOR.fullmatch(cursor):
        raise Malformed("The cursor is not the id of an event.", code=Code.INVALID_CURSOR)
    return cursor


def _may_see(caller: Caller, event: Event | Notice) -> bool:
    """A job's events need sight of the job; notices need sight of the team, or are about the caller's user."""
    if isinstance(event, Event):
        return sees(caller, event.job)
    return caller.token is None and (caller.sees_team or event.user == caller.user)
