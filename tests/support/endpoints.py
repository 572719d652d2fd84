"""Webhook endpoints for tests: a key that may create them, deliveries sent by hand, and simulated time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.domain.accounts import Scope
from app.domain.deliveries import ATTEMPT_LEASE_MS, Delivery, LogFilter
from app.store import keys
from app.store.delivery_log import DEAD, DeliveryLogStore
from app.store.due import ENQUEUED_HIDDEN_MS
from tests.support.callers import another_key, calling
from tests.support.pipeline import Pipeline
from tests.support.stack import Stack
from workers.deliver import deliver


@asynccontextmanager
async def team_admin(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key administers the stack's team."""
    made = await another_key(stack, scopes=frozenset({Scope.TEAM_ADMIN}))
    async with calling(stack, made.key) as api:
        yield api


async def endpoint(api: httpx.AsyncClient, url: str, **more: Any) -> dict[str, Any]:
    """A new webhook endpoint, as the reply showed it, with its secret."""
    reply = await api.post("/v1/webhook-endpoints", json={"url": url, **more})
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


async def change(api: httpx.AsyncClient, endpoint_id: str, **changes: Any) -> dict[str, Any]:
    """The endpoint after a change."""
    reply = await api.patch(f"/v1/webhook-endpoints/{endpoint_id}", json=changes)
    assert reply.status_code == 200, reply.text
    changed: dict[str, Any] = reply.json()
    return changed


async def acquired(pipeline: Pipeline, *, limit: int = 100, quick: bool = False) -> list[tuple[str, str]]:
    """What a round of deliveries would acquire now."""
    return await pipeline.gateway.stores.deliveries.take(
        limit=limit, handed_ms=ENQUEUED_HIDDEN_MS, hidden_ms=ATTEMPT_LEASE_MS, quick=quick
    )


async def sent(pipeline: Pipeline, *, limit: int = 100) -> int:
    """One attempt for everything that a round acquires, in turn; how many there were."""
    handed = await acquired(pipeline, limit=limit)
    for ref, destination in handed:
        await deliver(pipeline.gateway, ref, destination=destination)
    return len(handed)


async def later(pipeline: Pipeline, endpoint_id: str, *, ms: int) -> None:
    """As if this much time had passed at this endpoint: waiting deliveries, those in progress, and its breaker."""
    destination = f"{pipeline.team}/{endpoint_id}"
    for name in (keys.waiting(destination), keys.in_flight(destination)):
        for ref, score in await pipeline.redis.zrange(name, 0, -1, withscores=True):
            await pipeline.redis.zadd(name, {ref: score - ms})
    state = keys.destination(destination)
    for field in ("open_until", "since_ms"):
        if await pipeline.redis.hexists(state, field):
            await pipeline.redis.hincrby(state, field, -ms)
    score = await pipeline.redis.zscore(keys.due("deliver"), destination)
    if score is not None:
        await pipeline.redis.zadd(keys.due("deliver"), {destination: score - ms})


async def deliveries(
    pipeline: Pipeline, *, endpoint: str | None = None, dead: bool = False, count: int = 100
) -> list[Delivery]:
    """Up to `count` deliveries of the team or of an endpoint, newest first; `dead`: the dead letters among them."""
    store = DeliveryLogStore(pipeline.redis, retention_ms=pipeline.stack.settings.retention_ms)
    wanted = LogFilter(endpoint=endpoint, statuses=DEAD if dead else None)
    ids, _ = await store.find(pipeline.team, wanted, after=None, count=count, newest_first=True)
    return [one.delivery for one in await store.read(pipeline.team, ids)]
