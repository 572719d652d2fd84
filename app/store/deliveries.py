"""Deliveries in the store: one event for one destination, an endpoint of the team or a job's own address."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from app.domain.deliveries import (
    ADDRESS_HEALTH_MS,
    BREAKER_FAILURES,
    BREAKER_PAUSE_MS,
    DEAD_LETTERS_MS,
    ENDPOINT_HEALTH_MS,
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_PER_HOST,
    MAX_IN_FLIGHT_PER_TEAM,
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    RecordedAttempt,
)
from app.domain.events import Event, Notice
from app.domain.ids import split_ref
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.events import read_notice
from app.store.records import read_job, to_json

DESTINATION_RETRY_MS = 100  # until a destination that is due but got nothing is due again
DESTINATIONS_PER_TAKE = 200


class DeliveryStore:
    """Takes deliveries that are due and records attempts; the script of an event writes its deliveries."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def get(self, ref: str) -> Delivery | None:
        """The delivery, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.delivery(ref))
        return read_delivery(split_ref(ref)[0], record) if record else None

    async def destination(self, ref: str) -> str | None:
        """The delivery's destination; None when it has expired."""
        with store_errors():
            return await self._redis.hget(keys.delivery(ref), "destination")

    async def take(
        self, *, limit: int, handed_ms: int, hidden_ms: int, quick: bool, busy: Iterable[str] = ()
    ) -> list[tuple[str, str]]:
        """Up to `limit` deliveries that are due, a few of each destination, as ref and destination.

        They are hidden for `handed_ms`, and count as in flight for `hidden_ms`. `quick`: only of destinations with
        nothing in flight whose last attempt was good. `busy` has the team of each delivery that the caller has in
        flight: a team gets no more than MAX_IN_FLIGHT_PER_TEAM.
        """
        with store_errors():
            flat = await scripts.take_deliveries(
                self._redis,
                limit=limit,
                destinations=DESTINATIONS_PER_TAKE,
                per_destination=MAX_IN_FLIGHT,
                per_host=MAX_IN_FLIGHT_PER_HOST,
                per_team=MAX_IN_FLIGHT_PER_TEAM,
                retry_ms=DESTINATION_RETRY_MS,
                failures=BREAKER_FAILURES,
                probe_ms=BREAKER_PAUSE_MS,
                visibility_ms=handed_ms,
                attempt_ms=hidden_ms,
                quick=quick,
                dead_ms=DEAD_LETTERS_MS,
                rest=busy,
            )
        return list(zip(flat[::2], flat[1::2], strict=True))

    async def drop(self, ref: str, destination: str) -> None:
        """Stop sending this delivery: it has expired, or has ended."""
        with store_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.zrem(keys.waiting(destination), ref)
            pipe.zrem(keys.in_flight(destination), ref)
            pipe.zrem(keys.in_flight(destination.partition("#")[0]), ref)
            await pipe.execute()

    async def record_attempt(
        self, ref: str, attempt: DeliveryAttempt, *, status: DeliveryStatus, health: str, delay_ms: int = 0
    ) -> RecordedAttempt:
        """Write an attempt, and its outcome for the destination's health: `good`, `slow`, `failed`, or ""."""
        with store_errors():
            answer = await scripts.record_attempt(
                self._redis,
                delivery=keys.delivery(ref),
                ref=ref,
                status=status,
                delay_ms=delay_ms,
                attempt=to_json(asdict(attempt)),
                health=health,
                failures=BREAKER_FAILURES,
                pause_ms=BREAKER_PAUSE_MS,
                endpoint_memory_ms=ENDPOINT_HEALTH_MS,
                address_memory_ms=ADDRESS_HEALTH_MS,
                dead_ms=DEAD_LETTERS_MS,
            )
        return RecordedAttempt(*answer)


def read_delivery(team: str, record: dict[str, str]) -> Delivery:
    """The delivery in a record of the store."""
    count = int(record["attempts"])
    status: Any = record["status"]
    return Delivery(
        id=record["id"],
        team=team,
        destination=record["destination"],
        url=record["url"],
        status=status,
        created_ms=int(record["created_ms"]),
        event=_read_event(record),
        attempts=tuple(read_attempt(record[f"attempt:{i}"]) for i in range(1, count + 1)),
        style="fal" if record.get("style") == "fal" else None,
    )


def read_attempt(text: str) -> DeliveryAttempt:
    """An attempt, as `record_attempt` wrote it."""
    return DeliveryAttempt(**json.loads(text))


def _read_event(record: dict[str, str]) -> Event | Notice:
    if "notice" in record:
        return read_notice(record["event_id"], record)
    return Event(
        id=record["event_id"],
        type=record["type"],
        sequence=int(record["sequence"]),
        at_ms=int(record["at"]),
        job=read_job(json.loads(record["record"])),
    )
