"""Seeing webhook deliveries, and sending them again."""

from dataclasses import dataclass, replace
from typing import Any

from app.domain.access import require_control, require_key, require_scope, require_team_sight, sees
from app.domain.accounts import Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.deliveries import BULK_REPLAYS_PER_MINUTE, REPLAYS_PER_MINUTE, LogFilter, LoggedDelivery
from app.domain.endpoints import NO_ENDPOINT, Endpoint
from app.domain.errors import Code, Conflict, NotFound, OverLimit
from app.domain.events import Event
from app.domain.jobs import Job
from app.store.audit import AuditStore
from app.store.delivery_log import DeliveryLogStore
from app.store.endpoints import EndpointStore

NO_DELIVERY = "There is no delivery with this id."


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest first, and the cursor of the next page."""

    deliveries: list[LoggedDelivery]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many are sent again, how many were left as they are, and where to go on; None when that was all."""

    replayed: int
    skipped: int
    next_cursor: str | None


class DeliveryLog:
    """The log of webhooks. Who sees a job sees its; `team:read` sees, `team:admin` replays the team's."""

    def __init__(self, *, store: DeliveryLogStore, endpoints: EndpointStore, audit: AuditStore) -> None:
        self._store = store
        self._endpoints = endpoints
        self._audit = audit

    async def of_job(self, caller: Caller, job: Job, *, limit: int, cursor: str | None) -> DeliveryPage:
        """A job's deliveries, newest first; not for a browser token.

        The addresses of the team's endpoints, and what they answered, are for who sees the team.
        """
        require_key(caller)
        after = None if cursor is None else read_cursor(cursor, kind="msg")[1]
        ids = (await self._store.ids_of_job(job.team, job.id))[::-1]
        if after is not None:
            ids = ids[ids.index(after) + 1 :] if after in ids else []
        found = await self._store.read(job.team, ids[:limit])
        seen = [_as_seen(caller, listed) for listed in found]
        return DeliveryPage(seen, write_cursor((0, ids[limit - 1])) if len(ids) > limit else None)

    async def get(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """One delivery; NotFound when there is none that the caller may see."""
        listed = await self._visible(caller, delivery_id)
        require_key(caller)
        found = await self._store.read(caller.team, [listed.delivery.id])
        if not found:
            raise NotFound(NO_DELIVERY)
        return _as_seen(caller, found[0])

    async def page(self, caller: Caller, wanted: LogFilter, *, limit: int, cursor: str | None) -> DeliveryPage:
        """The team's deliveries, or those to one endpoint, newest first."""
        require_team_sight(caller)
        if wanted.endpoint is not None and await self._endpoints.get(caller.team, wanted.endpoint) is None:
            raise NotFound(NO_ENDPOINT)
        after = None if cursor is None else read_cursor(cursor, kind="msg")
        ids, place = await self._store.find(caller.team, wanted, after=after, count=limit, newest_first=True)
        found = await self._store.read(caller.team, ids)
        return DeliveryPage(found, None if place is None else write_cursor(place))

    async def replay(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """Send one again, now: the same message under the same id, with the schedule from its beginning.

        Raises:
            NotFound: there is none that the caller may see.
            Forbidden: it goes to an endpoint of the team, or is about another's job, and the key is not for that.
            Conflict: nothing goes to its endpoint just now, or an attempt is on its way.
            OverLimit: too many replays in a minute.
        """
        listed = await self._visible(caller, delivery_id)
        require_key(caller)
        delivery = listed.delivery
        if delivery.endpoint is not None or not isinstance(delivery.event, Event):
            require_scope(caller, Scope.TEAM_ADMIN)
        else:
            require_control(caller, delivery.event.job)
        if delivery.endpoint is not None:
            found = await self._endpoints.get(caller.team, delivery.endpoint)
            _require_active(None if found is None else found.endpoint)
        await consume_rate(self._store, caller.team, "replay", REPLAYS_PER_MINUTE)
        await self._note(caller, delivery.id, {"deliveries": 1})
        if not await self._store.replay(caller.team, [delivery.id], by=caller.user, spread=False):
            raise Conflict("An attempt is on its way in this moment; look again in a few seconds.")
        again = await self._store.read(caller.team, [delivery.id])
        return _as_seen(caller, again[0] if again else listed)

    async def replay_all(self, caller: Caller, wanted: LogFilter, *, limit: int, cursor: str | None) -> Replayed:
        """Send many again, the oldest first, to each destination one after the other with a pause between.

        Without a status: dead letters; in a range of time, everything in it that has ended, delivered or dead. What
        goes to an endpoint that is paused, disabled or deleted is skipped, and so is what is on its way.

        Raises:
            NotFound: there is no such endpoint.
            Conflict: nothing goes to that endpoint just now.
            OverLimit: too many such requests in a minute.
        """
        require_team_sight(caller)
        endpoints = {endpoint.id: endpoint for endpoint in await self._endpoints.of_team(caller.team)}
        if wanted.endpoint is not None and wanted.endpoint not in endpoints:
            raise NotFound(NO_ENDPOINT)
        require_scope(caller, Scope.TEAM_ADMIN)
        if wanted.endpoint is not None:
            _require_active(endpoints[wanted.endpoint])
        after = None if cursor is None else read_cursor(cursor, kind="msg")
        if wanted.statuses is None:
            ranged = wanted.from_ms is not None or wanted.to_ms is not None
            wanted = replace(wanted, statuses=frozenset({"dead", "delivered"} if ranged else {"dead"}))
        await consume_rate(self._store, caller.team, "replays", BULK_REPLAYS_PER_MINUTE)
        ids, place = await self._store.find(caller.team, wanted, after=after, count=limit, newest_first=False)
        open_to = {name for name, endpoint in endpoints.items() if endpoint.status == "active"}
        ready = await self._store.ready(caller.team, ids, endpoints=open_to)
        done: list[str] = []
        if ready:
            await self._note(caller, wanted.endpoint or caller.team, {"deliveries": len(ready), **_told(wanted)})
            done = await self._store.replay(caller.team, ready, by=caller.user, spread=True)
        return Replayed(len(done), len(ids) - len(done), None if place is None else write_cursor(place))

    async def _visible(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """The delivery, if it is about a job that the caller sees, or the caller sees the team's; else NotFound."""
        require_scope(caller, Scope.JOBS_READ)
        listed = await self._store.get(caller.team, delivery_id)
        if listed is not None:
            event = listed.delivery.event
            if sees(caller, event.job) if isinstance(event, Event) else caller.sees_team:
                return listed
        raise NotFound(NO_DELIVERY)

    async def _note(self, caller: Caller, target: str, details: dict[str, Any]) -> None:
        await self._audit.act(actor=caller.user, action="delivery.replay", target=target, details=details)


async def consume_rate(store: DeliveryLogStore, team: str, what: str, a_minute: int) -> None:
    """OverLimit when the team did this so many times in the last minute."""
    wait_ms = await store.consume_rate(team, what, a_minute=a_minute)
    if wait_ms:
        raise OverLimit(
            f"A team may do this {a_minute} times a minute, so that consumers are not flooded.",
            retry_after=-(-wait_ms // 1000),
        )


def _as_seen(caller: Caller, listed: LoggedDelivery) -> LoggedDelivery:
    """Without the address and the answers of an endpoint, which are the team's, for who sees only jobs."""
    delivery = listed.delivery
    if delivery.endpoint is None or caller.sees_team:
        return listed
    bare = tuple(replace(attempt, answer="", url=None) for attempt in delivery.attempts)
    earlier = tuple(replace(attempt, answer="", url=None) for attempt in listed.earlier)
    return replace(listed, delivery=replace(delivery, url="", attempts=bare), earlier=earlier)


def _require_active(endpoint: Endpoint | None) -> None:
    if endpoint is None or endpoint.status != "active":
        state = "deleted" if endpoint is None else endpoint.status
        hint = "" if endpoint is None else " Let it go on first."
        raise Conflict(f"The endpoint is {state}; nothing is sent to it.{hint}", code=Code.ENDPOINT_NOT_ACTIVE)


def _told(wanted: LogFilter) -> dict[str, Any]:
    """What the audit log says of a filter."""
    return {
        "statuses": sorted(wanted.statuses or ()),
        "events": None if wanted.events is None else sorted(wanted.events),
        "from_ms": wanted.from_ms,
        "to_ms": wanted.to_ms,
    }
