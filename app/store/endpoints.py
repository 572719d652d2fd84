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
    """An endpoint, and the record it was read from: a change is written only where that is still there."""

    endpoint: Endpoint
    text: str


class EndpointChanged(FilmgateError):
    """Somebody changed the endpoint in this moment; read it again."""


class EndpointStore:
    """Reads endpoints, and makes the writes of the administrative acts that change them."""

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
        found = [_read(team, endpoint_id, text) for endpoint_id, text in rows.items()]
        return sorted(found, key=lambda endpoint: (endpoint.created_ms, endpoint.id))

    async def add(self, actor: str, endpoint: Endpoint) -> None:
        """Write a new endpoint; Conflict when the team has too many."""
        name = keys.endpoints(endpoint.team)
        full = Conflict(
            f"A team has at most {MAX_ENDPOINTS_PER_TEAM} webhook endpoints.", code=Code.TOO_MANY_ENDPOINTS
        )
        await self._audit.act(
            actor=actor,
            action="endpoint.add",
            target=endpoint.id,
            details=_told(endpoint),
            writes=[("HSET", name, endpoint.id, _text(endpoint))],
            require=[team_exists(endpoint.team), Require(("fewer", name, MAX_ENDPOINTS_PER_TEAM), full)],
        )

    async def change(
        self,
        actor: str,
        action: str,
        before: StoredEndpoint,
        after: Endpoint,
        *,
        tell: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        """Write a changed endpoint, and an event of type `tell`; EndpointChanged when another change came first.

        What is remembered of how it does is forgotten, and it is looked at now, only where it moved to another
        address or is let go on: an edit neither opens the way to one that fails, nor delays that it is disabled.
        """
        name = keys.endpoints(after.team)
        more: list[Command] = [("HSET", name, after.id, _text(after))]
        let_go_on = after.status == "active" and before.endpoint.status != "active"
        if let_go_on or after.url != before.endpoint.url:
            more += [
                ("DEL", keys.destination(after.destination)),
                ("ZADD", keys.due("deliver"), 0, after.destination),
            ]
        await self._audit.act(
            actor=actor,
            action=action,
            target=after.id,
            details=_told(after) if details is None else details,
            writes=more,
            notice=self._notice(after, tell) if tell else "",
            require=[
                Require(("same", name, after.id, before.text), EndpointChanged("It was changed in this moment."))
            ],
        )

    async def remove(self, actor: str, found: StoredEndpoint) -> None:
        """Delete an endpoint with its secrets; what still waits for it is dead as soon as somebody looks."""
        endpoint = found.endpoint
        name = keys.endpoints(endpoint.team)
        await self._audit.act(
            actor=actor,
            action="endpoint.remove",
            target=endpoint.id,
            details={"url": endpoint.url},
            writes=[
                ("HDEL", name, endpoint.id),
                ("DEL", keys.destination(endpoint.destination)),
                ("ZADD", keys.due("deliver"), 0, endpoint.destination),
            ],
            require=[
                Require(("same", name, endpoint.id, found.text), EndpointChanged("It was changed in this moment."))
            ],
        )

    async def write_test(self, actor: str, endpoint: Endpoint) -> str:
        """Write a delivery of `endpoint.test` to this endpoint; its id."""
        delivery_id = new_id("msg")
        await self._audit.act(
            actor=actor,
            action="endpoint.test",
            target=endpoint.id,
            details={"url": endpoint.url},
            notice=self._notice(endpoint, ENDPOINT_TEST, id=delivery_id),
        )
        return delivery_id

    def _notice(self, endpoint: Endpoint, kind: str, **more: str) -> str:
        """An event about an endpoint as `commit_admin.lua` reads it; an `id` makes it a delivery to this one."""
        said = {"endpoint": endpoint.id, "url": endpoint.url}
        text = to_json(said if endpoint.disabled_reason is None else {**said, "reason": endpoint.disabled_reason})
        kept = {"retention_ms": str(self._retention_ms)}
        return to_json({**said, **kept, "team": endpoint.team, "type": kind, "text": text, **more})


def _told(endpoint: Endpoint) -> dict[str, Any]:
    """What the audit log says of it: never a secret."""
    return {
        "team": endpoint.team,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "models": None if endpoint.models is None else list(endpoint.models),
        "status": endpoint.status,
        "secrets": len(endpoint.secrets),
    }


def _text(endpoint: Endpoint) -> str:
    """The record; what is None is left out, because Lua reads it too."""
    record = {name: value for name, value in asdict(endpoint).items() if value is not None}
    del record["id"], record["team"]
    record["secrets"] = [[secret.text, secret.until_ms] for secret in endpoint.secrets]
    return to_json(record)


def _read(team: str, endpoint_id: str, text: str) -> Endpoint:
    record: dict[str, Any] = json.loads(text)
    models = record.pop("models", None)
    return Endpoint(
        **{
            **record,
            "id": endpoint_id,
            "team": team,
            "events": tuple(record["events"]),
            "models": None if models is None else tuple(models),
            "secrets": tuple(Secret(*pair) for pair in record["secrets"]),
        }
    )
