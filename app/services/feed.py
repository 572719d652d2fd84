"""The feed: a team's events in order, by pages for consumers that poll, and live for those that stay."""

import re
from dataclasses import dataclass
from functools import partial

from app.domain.access import require_scope, sees
from app.domain.accounts import Caller, Scope
from app.domain.errors import Code, Malformed
from app.domain.events import Event, Notice
from app.services.live import Frame, Frames, follow_events
from app.store.events import PAGE, EventStore, event_order

BEGINNING = "0-0"  # before the oldest event
SCAN_LIMIT = 4 * PAGE  # events that one request reads at most; the cursor goes on from there
CURSOR = re.compile(r"[0-9]{1,15}-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events, oldest first. `next_cursor` is the last one looked at; `has_more`: more are there already."""

    events: list[Event | Notice]
    next_cursor: str
    has_more: bool


class Feed:
    """The events that a caller may see."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    async def page(self, caller: Caller, *, cursor: str | None, limit: int) -> FeedPage:
        """Up to `limit` events after the cursor; Malformed when it cannot be one.

        1. begin after the cursor, or with the oldest event remembered
        2. keep what the caller may see; the cursor passes over the rest
        3. stop before one event too many, at the end, or when enough was read
        """
        seen = _checked(caller, cursor) or BEGINNING
        found: list[Event | Notice] = []
        count = min(PAGE, limit + 1) if caller.sees_team else PAGE  # a stretch that has all it needs, as a rule
        for _ in range(0, SCAN_LIMIT, count):
            stretch = await self._events.after(caller.team, seen, count=count)
            for event in stretch.events:
                if _may_see(caller, event):
                    if len(found) == limit:
                        return FeedPage(found, seen, has_more=True)
                    found.append(event)
                seen = event.id
            seen = stretch.last_id or seen
            if not stretch.more:
                return FeedPage(found, seen, has_more=False)
        return FeedPage(found, seen, has_more=True)

    def follow(self, caller: Caller, *, cursor: str | None) -> Frames:
        """Events from the cursor on, then what comes, until the watcher goes; Malformed before it begins."""
        return self._follow(caller, _checked(caller, cursor))

    async def _follow(self, caller: Caller, cursor: str | None) -> Frames:
        """What a watcher is told.

        1. subscribe first, so that nothing falls between reading and listening
        2. say where the watcher stands: at its cursor; without one, at the newest event
        3. what came since, then what comes
        """
        async with self._events.live(caller.team) as queue:
            standing = await self._beginning(caller.team, cursor)
            yield standing
            wanted = partial(_may_see, caller)
            async for frame in follow_events(self._events, queue, caller.team, standing.cursor, wanted=wanted):
                yield frame

    async def _beginning(self, team: str, cursor: str | None) -> Frame:
        """Where to begin. What is left of a forgotten past is told; a cursor of another store begins now."""
        newest = await self._events.newest_id(team)
        if cursor is None:
            return Frame(newest)
        if event_order(cursor) > event_order(newest):
            return Frame(newest, reset=True)
        known = cursor in {newest, BEGINNING} or await self._events.is_complete_after(team, cursor)
        return Frame(cursor, reset=not known)


def _checked(caller: Caller, cursor: str | None) -> str | None:
    require_scope(caller, Scope.JOBS_READ)
    if cursor is not None and not CURSOR.fullmatch(cursor):
        raise Malformed("The cursor is not the id of an event.", code=Code.INVALID_CURSOR)
    return cursor


def _may_see(caller: Caller, event: Event | Notice) -> bool:
    """Jobs' events are for who sees the job; notices for who sees the team, and about a user for that user."""
    if isinstance(event, Event):
        return sees(caller, event.job)
    return caller.token is None and (caller.sees_team or event.user == caller.user)
