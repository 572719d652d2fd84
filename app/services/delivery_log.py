"""The log of webhook deliveries, and their replay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.domain.access import require_control, require_key, require_scope, require_team_sight, sees
from app.domain.accounts import Caller, Scope
from app.domain.cursors import read_cursor, write_cursor
from app.domain.deliveries import (
    BULK_REPLAYS_PER_MINUTE,
    PROMPT_CHARS,
    REPLAYS_PER_MINUTE,
    LogFilter,
    LoggedDelivery,
)
from app.domain.endpoints import NO_ENDPOINT, Endpoint
from app.domain.errors import Code, Conflict, NotFound, OverLimit
from app.domain.events import Event
from app.domain.jobs import Job
from app.domain.prompts import beginning_of, prompts_of
from app.store.audit import AuditStore
from app.store.delivery_log import DeliveryLogStore
from app.store.endpoints import EndpointStore
from app.store.jobs import JobStore

NO_DELIVERY = "There is no delivery with this id."


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest first, and the cursor of the next page."""

    deliveries: list[LoggedDelivery]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many deliveries are sent again, how many were skipped, and the cursor of the next ones, if any."""

    replayed: int
    skipped: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLog:
    """Reads and replays deliveries: of a job by whoever sees it, of the team with `team:read` and `team:admin`."""

    store: DeliveryLogStore
    jobs: JobStore
    endpoints: EndpointStore
    audit: AuditStore

    async def of_job(self, caller: Caller, job: Job, *, limit: int, cursor: str | None) -> DeliveryPage:
        """A job's deliveries, newest first; Forbidden for a browser token.

        URLs and replies of the team's endpoints are left out for callers who do not see the team.
        """
        require_key(caller)
        after = None if cursor is None else read_cursor(cursor, kind="msg")[1]
        ids = (await self.store.ids_of_job(job.team, job.id))[::-1]
        if after is not None:
            ids = ids[ids.index(after) + 1 :] if after in ids else []
        deliveries = [_redacted(caller, logged) for logged in await self._read(caller, ids[:limit])]
        return DeliveryPage(deliveries, write_cursor((0, ids[limit - 1])) if len(ids) > limit else None)

    async def newest_of(self, job: Job, *, limit: int) -> list[LoggedDelivery]:
        """A job's newest deliveries, for administrators."""
        ids = (await self.store.ids_of_job(job.team, job.id))[::-1]
        return await self.store.read(job.team, ids[:limit])

    async def get(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """One delivery; NotFound when there is none that the caller may see."""
        logged = await self._visible(caller, delivery_id)
        require_key(caller)
        found = await self._read(caller, [logged.delivery.id])
        if not found:
            raise NotFound(NO_DELIVERY)
        return _redacted(caller, found[0])

    async def page(self, caller: Caller, wanted: LogFilter, *, limit: int, cursor: str | None) -> DeliveryPage:
        """The team's deliveries that match, newest first; NotFound for an unknown endpoint."""
        require_team_sight(caller)
        if wanted.endpoint is not None and await self.endpoints.get(caller.team, wanted.endpoint) is None:
            raise NotFound(NO_ENDPOINT)
        after = None if cursor is None else read_cursor(cursor, kind="msg")
        ids, place = await self.store.find(caller.team, wanted, after=after, count=limit, newest_first=True)
        found = await self._read(caller, ids)
        return DeliveryPage(found, None if place is None else write_cursor(place))

    async def replay(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """Send one again now: the same message and id, with a new schedule.

        Raises:
            NotFound: there is none that the caller may see.
            Forbidden: the key may not replay deliveries to the team's endpoints, or about another user's job.
            Conflict: its endpoint is not active, or an attempt is in progress.
            OverLimit: too many replays in a minute.
        """
        logged = await self._visible(caller, delivery_id)
        require_key(caller)
        delivery = logged.delivery
        if delivery.endpoint is not None or not isinstance(delivery.event, Event):
            require_scope(caller, Scope.TEAM_ADMIN)
        else:
            require_control(caller, delivery.event.job)
        if delivery.endpoint is not None:
            found = await self.endpoints.get(caller.team, delivery.endpoint)
            _require_active(None if found is None else found.endpoint)
        await consume_rate(self.store, caller.team, "replay", REPLAYS_PER_MINUTE)
        await self._write_audit(caller, delivery.id, {"deliveries": 1})
        if not await self.store.replay(caller.team, [delivery.id], by=caller.user, spread=False):
            raise Conflict("An attempt is in progress; try again in a few seconds.")
        again = await self._read(caller, [delivery.id])
        return _redacted(caller, again[0] if again else logged)

    async def replay_all(self, caller: Caller, wanted: LogFilter, *, limit: int, cursor: str | None) -> Replayed:
        """Send many again, the oldest first, spread over time for each destination.

        Without a status these are the dead ones; with a time range and no status, all in it that are delivered or
        dead. Deliveries to an endpoint that is not active, and those with an attempt in progress, are skipped.

        Raises:
            NotFound: there is no such endpoint.
            Forbidden: the key lacks `team:admin`.
            Conflict: the endpoint is not active.
            OverLimit: too many such requests in a minute.
        """
        require_team_sight(caller)
        endpoints = {endpoint.id: endpoint for endpoint in await self.endpoints.of_team(caller.team)}
        if wanted.endpoint is not None and wanted.endpoint not in endpoints:
            raise NotFound(NO_ENDPOINT)
        require_scope(caller, Scope.TEAM_ADMIN)
        if wanted.endpoint is not None:
            _require_active(endpoints[wanted.endpoint])
        after = None if cursor is None else read_cursor(cursor, kind="msg")
        if wanted.statuses is None:
            ranged = wanted.from_ms is not None or wanted.to_ms is not None
            wanted = replace(wanted, statuses=frozenset({"dead", "delivered"} if ranged else {"dead"}))
        await consume_rate(self.store, caller.team, "replays", BULK_REPLAYS_PER_MINUTE)
        ids, place = await self.store.find(caller.team, wanted, after=after, count=limit, newest_first=False)
        active = {name for name, endpoint in endpoints.items() if endpoint.status == "active"}
        ready = await self.store.replayable(caller.team, ids, endpoints=active)
        done: list[str] = []
        if ready:
            details = {
                "deliveries": len(ready),
                "statuses": sorted(wanted.statuses or ()),
                "events": None if wanted.events is None else sorted(wanted.events),
                "from_ms": wanted.from_ms,
                "to_ms": wanted.to_ms,
            }
            await self._write_audit(caller, wanted.endpoint or caller.team, details)
            done = await self.store.replay(caller.team, ready, by=caller.user, spread=True)
        return Replayed(len(done), len(ids) - len(done), None if place is None else write_cursor(place))

    async def _read(self, caller: Caller, ids: Sequence[str]) -> list[LoggedDelivery]:
        """These deliveries with the beginning of their jobs' prompts, which are not in what a message keeps."""
        found = await self.store.read(caller.team, ids)
        refs = list(dict.fromkeys(job.ref for job in map(_job_of, found) if job is not None))
        if not caller.reads_prompts or not refs:
            return found
        prompts = {job.id: _prompt_of(job) for job in await self.jobs.get_many(refs) if job is not None}
        return [
            logged if job is None else replace(logged, prompt=prompts.get(job.id))
            for logged, job in zip(found, map(_job_of, found), strict=True)
        ]

    async def _visible(self, caller: Caller, delivery_id: str) -> LoggedDelivery:
        """The delivery, if the caller sees its job, or the team where it is about no job; NotFound otherwise."""
        require_scope(caller, Scope.JOBS_READ)
        logged = await self.store.get(caller.team, delivery_id)
        if logged is not None:
            event = logged.delivery.event
            if sees(caller, event.job) if isinstance(event, Event) else caller.sees_team:
                return logged
        raise NotFound(NO_DELIVERY)

    async def _write_audit(self, caller: Caller, target: str, details: dict[str, Any]) -> None:
        await self.audit.act(actor=caller.user, action="delivery.replay", target=target, details=details)


async def consume_rate(store: DeliveryLogStore, team: str, action: str, per_minute: int) -> None:
    """OverLimit when the team did this so many times within a minute."""
    wait_ms = await store.consume_rate(team, action, a_minute=per_minute)
    if wait_ms:
        sentence = f"A team may do this {per_minute} times a minute, so that consumers are not flooded."
        raise OverLimit(sentence, retry_after=math.ceil(wait_ms / 1000))


def _job_of(logged: LoggedDelivery) -> Job | None:
    event = logged.delivery.event
    return event.job if isinstance(event, Event) else None


def _prompt_of(job: Job) -> str | None:
    prompt = next(prompts_of(job.input), None)
    return None if prompt is None else beginning_of(prompt, PROMPT_CHARS)


def _redacted(caller: Caller, logged: LoggedDelivery) -> LoggedDelivery:
    """Without the URL and the replies of a team's endpoint, unless the caller sees the team."""
    delivery = logged.delivery
    if delivery.endpoint is None or caller.sees_team:
        return logged
    attempts = tuple(replace(attempt, answer="", url=None) for attempt in delivery.attempts)
    earlier = tuple(replace(attempt, answer="", url=None) for attempt in logged.earlier)
    return replace(logged, delivery=replace(delivery, url="", attempts=attempts), earlier=earlier)


def _require_active(endpoint: Endpoint | None) -> None:
    if endpoint is None or endpoint.status != "active":
        state = "deleted" if endpoint is None else endpoint.status
        hint = "" if endpoint is None else " Resume it first."
        raise Conflict(f"The endpoint is {state}; nothing is sent to it.{hint}", code=Code.ENDPOINT_NOT_ACTIVE)
