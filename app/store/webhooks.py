"""Deliveries in the store: one event for one webhook."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from app.domain.events import Event
from app.domain.ids import join_ref, split_ref
from app.store import keys
from app.store.connection import Client, store_errors
from app.store.records import read_job, to_json
from app.store.scripts import script


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try: when (ms), how long, what came back."""

    at_ms: int
    status: int | None
    duration_ms: int
    outcome: str
    error: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook; `id` is the `webhook-id`, the same in every attempt."""

    id: str
    team: str
    url: str
    status: Literal["due", "delivered", "dead"]
    event: Event
    attempts: tuple[DeliveryAttempt, ...]


class WebhookStore:
    """Reads deliveries and writes attempts; the outbox entry itself is part of the job's own script."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def get(self, ref: str) -> Delivery | None:
        """The delivery, or None."""
        with store_errors():
            record = await self._redis.hgetall(keys.delivery(ref))
        return _read_delivery(split_ref(ref)[0], record) if record else None

    async def of_job(self, team: str, job_id: str) -> list[Delivery]:
        """A job's deliveries, oldest first."""
        with store_errors():
            ids = await self._redis.lrange(keys.deliveries(join_ref(team, job_id)), 0, -1)
        found = [await self.get(join_ref(team, delivery_id)) for delivery_id in ids]
        return [delivery for delivery in found if delivery is not None]

    async def record_attempt(
        self,
        ref: str,
        attempt: DeliveryAttempt,
        *,
        status: Literal["due", "delivered", "dead"],
        delay_ms: int = 0,
    ) -> int:
        """Write an attempt; how many there are now, 0 when the delivery had ended."""
        with store_errors():
            count: int = await script("record_attempt").run(
                self._redis,
                keys={"delivery": keys.delivery(ref), "due_deliver": keys.due("deliver")},
                args={
                    "ref": ref,
                    "status": status,
                    "delay_ms": delay_ms,
                    "attempt": to_json(asdict(attempt)),
                },
            )
        return count


def _read_delivery(team: str, record: dict[str, str]) -> Delivery:
    count = int(record["attempts"])
    attempts: list[dict[str, Any]] = [json.loads(record[f"attempt:{i}"]) for i in range(1, count + 1)]
    event = Event(
        id=record["event_id"],
        type=record["type"],
        sequence=int(record["sequence"]),
        at_ms=int(record["at"]),
        job=read_job(json.loads(record["record"])),
    )
    status: Any = record["status"]
    return Delivery(
        id=record["id"],
        team=team,
        url=record["url"],
        status=status,
        event=event,
        attempts=tuple(DeliveryAttempt(**row) for row in attempts),
    )
