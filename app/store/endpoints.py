"""Webhook endpoints in the store: one hash for each team, which the scripts read when they write an event."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from app.domain.endpoints import MAX_ENDPOINTS_PER_TEAM, Endpoint, Secret
from app.domain.errors import Code, Conflict, FilmgateError
from app.domain.events import ENDPOINT_TEST
from app.domain.ids import new_id
from app.store import keys
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.commands import Command, Require, team_exists
from app.store.connection import store_errors
from app.store.records import to_json


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """An endpoint, and the record it was read from: a change is written only while the record is the same."""

    endpoint: Endpoint
    text: str


class EndpointChanged(FilmgateError):
    """The endpoint was changed meanwhile; read it again."""


class EndpointStore:
    """Reads endpoints, and changes them by administrative acts."""

    def __init__(self, redis: Client, audit: AuditStore, *, retention_ms: int) -> None:
        self._redis = redis
        self._audit = audit
        self._retention_ms = retention_ms

    async def get(self, team: str, endpoint_id: str) -> StoredEndpoint | None:
        """The endpoint, or None."""
        with store_errors():
            text = await self._redis.hget(keys.endpoints(team), endpoint_id)
        return None if text is None else StoredEndpoint(_read(team, endpoint_id, text), text)

    async def of_team(self, team: str) -> list[Endpoint]:
        """The team's endpoints, the oldest first."""
        with store_errors():
            rows = await self._redis.hgetall(keys.endpoints(team))
        endpoints = [_read(team, endpoint_id, text) for endpoint_id, text in rows.items()]
        return sorted(endpoints, key=lambda endpoint: (endpoint.created_ms, endpoint.id))

    async def add(self, actor: str, endpoint: Endpoint) -> None:
        """Write a new endpoint; Conflict when the team has too many."""
        name = keys.endpoints(endpoint.team)
        sentence = f"A team has at most {MAX_ENDPOINTS_PER_TEAM} webhook endpoints."
        full = Conflict(sentence, code=Code.TOO_MANY_ENDPOINTS)
        writes = [("HSET", name, endpoint.id, _text(endpoint))]
        require = [team_exists(endpoint.team), Require(("fewer", name, MAX_ENDPOINTS_PER_TEAM), full)]
        await self._audit.act(
            actor, "endpoint.add", endpoint.id, _details(endpoint), writes=writes, require=require
        )

    async def change(
        self,
        actor: str,
        action: str,
        before: StoredEndpoint,
        after: Endpoint,
        *,
        event: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        """Write a changed endpoint, and an event of type `event`; EndpointChanged when another change came first.

        Its delivery health is reset, and its deliveries are due now, only where its address changed or it became
        active again. Other edits neither close a failing endpoint's breaker nor delay that it is disabled.
        """
        writes: list[Command] = [("HSET", keys.endpoints(after.team), after.id, _text(after))]
        activated = after.status == "active" and before.endpoint.status != "active"
        if activated or after.url != before.endpoint.url:
            writes += _reset_health(after)
        await self._audit.act(
            actor,
            action,
            after.id,
            _details(after) if details is None else details,
            writes=writes,
            notice=self._notice(after, event) if event else "",
            require=[_unchanged(before)],
        )

    async def remove(self, actor: str, found: StoredEndpoint) -> None:
        """Delete an endpoint with its secrets; deliveries that wait for it become dead when they are due."""
        endpoint = found.endpoint
        writes: list[Command] = [("HDEL", keys.endpoints(endpoint.team), endpoint.id), *_reset_health(endpoint)]
        details = {"url": endpoint.url}
        await self._audit.act(
            actor, "endpoint.remove", endpoint.id, details, writes=writes, require=[_unchanged(found)]
        )

    async def write_test(self, actor: str, endpoint: Endpoint) -> str:
        """Write a delivery of `endpoint.test` to this endpoint; the delivery's id."""
        delivery_id = new_id("msg")
        notice = self._notice(endpoint, ENDPOINT_TEST, id=delivery_id)
        await self._audit.act(actor, "endpoint.test", endpoint.id, {"url": endpoint.url}, notice=notice)
        return delivery_id

    def _notice(self, endpoint: Endpoint, kind: str, **extra: str) -> str:
        """An event as `commit_admin.lua` reads it; with an `id`, a delivery to this endpoint alone."""
        about = {"endpoint": endpoint.id, "url": endpoint.url}
        reason = {} if endpoint.disabled_reason is None else {"reason": endpoint.disabled_reason}
        envelope = {"retention_ms": str(self._retention_ms), "team": endpoint.team, "type": kind}
        return to_json({**about, **envelope, "text": to_json({**about, **reason}), **extra})


def _unchanged(found: StoredEndpoint) -> Require:
    endpoint = found.endpoint
    condition = ("same", keys.endpoints(endpoint.team), endpoint.id, found.text)
    return Require(condition, EndpointChanged("It was changed in this moment."))


def _reset_health(endpoint: Endpoint) -> list[Command]:
    destination = endpoint.destination
    return [("DEL", keys.destination(destination)), ("ZADD", keys.due("deliver"), 0, destination)]


def _details(endpoint: Endpoint) -> dict[str, Any]:
    """The audit log's details of an endpoint; no secrets."""
    return {
        "team": endpoint.team,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "models": None if endpoint.models is None else list(endpoint.models),
        "status": endpoint.status,
        "secrets": len(endpoint.secrets),
    }


def _text(endpoint: Endpoint) -> str:
    """The record; members that are None are left out, because Lua reads it too."""
    record = {name: value for name, value in asdict(endpoint).items() if value is not None}
    del record["id"], record["team"]
    record["secrets"] = [[secret.text, secret.until_ms] for secret in endpoint.secrets]
    return to_json(record)


def _read(team: str, endpoint_id: str, text: str) -> Endpoint:
    record: dict[str, Any] = json.loads(text)
    for name in {"events", "models"} & record.keys():
        record[name] = tuple(record[name])
    record["secrets"] = tuple(Secret(*pair) for pair in record["secrets"])
    return Endpoint(**{**record, "id": endpoint_id, "team": team})
