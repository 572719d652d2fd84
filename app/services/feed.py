"""The feed: a team's events in order, by pages, for consumers that poll."""

import re
from dataclasses import dataclass

from app.domain.access import require_scope, sees
from app.domain.accounts import Caller, Scope
from app.domain.errors import Malformed
from app.domain.events import BudgetNotice, Event
from app.store.events import PAGE, EventStore

BEGINNING = "0-0"  # before the oldest event
SCAN_LIMIT = 4 * PAGE  # events that one request reads at most; the cursor goes on from there
CURSOR = re.compile(r"[0-9]{1,15}-[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events, oldest first. `next_cursor` is the last one looked at; `has_more`: more are there already."""

    events: list[Event | BudgetNotice]
    next_cursor: str
    has_more: bool


class Feed:
    """Pages of the events that a caller may see."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    async def page(self, caller: Caller, *, cursor: str | None, limit: int) -> FeedPage:
        """Up to `limit` events after the cursor; Malformed when it cannot be one.

        1. begin after the cursor, or with the oldest event remembered
        2. keep what the caller may see; the cursor passes over the rest
        3. stop before one event too many, at the end, or when enough was read
        """
        require_scope(caller, Scope.JOBS_READ)
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise Malformed("The cursor is not the id of an event.", code="invalid_cursor")
        seen = cursor or BEGINNING
        found: list[Event | BudgetNotice] = []
        for _ in range(0, SCAN_LIMIT, PAGE):
            rows = await self._events.after(caller.team, seen)
            for event in rows:
                if _may_see(caller, event):
                    if len(found) == limit:
                        return FeedPage(found, seen, has_more=True)
                    found.append(event)
                seen = event.id
            if len(rows) < PAGE:
                return FeedPage(found, seen, has_more=False)
        return FeedPage(found, seen, has_more=True)


def _may_see(caller: Caller, event: Event | BudgetNotice) -> bool:
    """Jobs' events are for who sees the job; alerts for who sees the team, and about a user for that user."""
    if isinstance(event, Event):
        return sees(caller, event.job)
    return caller.token is None and (caller.sees_team or event.user == caller.user)
