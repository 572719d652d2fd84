"""Messages about alarms that are to be sent, and how the receiver answers."""

import json
from dataclasses import dataclass
from typing import Any

from app.domain.alarms import Alarm, AlarmState
from app.domain.alerts import ActiveAlarm, AlertEvent, AlertMessage, Receiver
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors

WANTED_MS = 86_400_000  # messages are kept for a sender that was there a day ago
AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class QueuedAlert:
    """A message of the outbox, and its text there."""

    message: AlertMessage
    text: str


class AlertStore:
    """The outbox. Only the process with the lease `alerts` reads it, and removes what it has sent."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def want(self) -> None:
        """Say that a process sends messages, so that they are kept for it."""
        with store_errors():
            await self._redis.set(keys.ALERTS_WANTED, "1", px=WANTED_MS)

    async def queued(self) -> list[QueuedAlert]:
        """The oldest messages about alarms that are over or have no state."""
        with store_errors():
            texts = await self._redis.lrange(keys.ALERTS, 0, AT_ONCE - 1)
        return [QueuedAlert(_message(json.loads(text)), text) for text in texts]

    async def waiting(self) -> int:
        """How many messages wait, those about active alarms not counted."""
        with store_errors():
            return await self._redis.llen(keys.ALERTS)

    async def active(self) -> list[ActiveAlarm]:
        """The active alarms, with what was told of each."""
        with store_errors():
            found = await self._redis.hgetall(keys.ACTIVE_ALARMS)
        return [_active(json.loads(text)) for text in found.values()]

    async def remove(self, queued: QueuedAlert) -> None:
        """Remove a message that was sent, or given up."""
        with store_errors():
            await self._redis.lrem(keys.ALERTS, 1, queued.text)

    async def note_sent(self, active: ActiveAlarm) -> bool:
        """Record that a message about an active alarm was sent; False when it is over."""
        with store_errors():
            return await scripts.note_sent(
                self._redis,
                kind=active.alarm.kind,
                about=active.alarm.about,
                id=active.id,
                level=active.level,
            )

    async def receiver(self) -> Receiver:
        """How the receiver answered last."""
        with store_errors():
            found = await self._redis.hgetall(keys.ALERT_RECEIVER)
        if not found:
            return Receiver()
        numbers = {name: int(found[name]) for name in ("failures", "since_ms", "next_ms", "refused")}
        return Receiver(**numbers, error=found["error"], message=found["message"])

    async def note(self, receiver: Receiver) -> None:
        """Keep how the receiver answered; one that answers well is forgotten."""
        with store_errors():
            if receiver.failures == 0:
                await self._redis.delete(keys.ALERT_RECEIVER)
                return
            fields: dict[str, int | str] = {
                "failures": receiver.failures,
                "since_ms": receiver.since_ms or 0,
                "error": receiver.error or "",
                "next_ms": receiver.next_ms,
                "message": receiver.message,
                "refused": receiver.refused,
            }
            pipe = self._redis.pipeline(transaction=True)
            pipe.hset(keys.ALERT_RECEIVER, mapping=fields)
            pipe.pexpire(keys.ALERT_RECEIVER, WANTED_MS)
            await pipe.execute()


def _alarm(row: dict[str, Any], at_ms: int, state: AlarmState) -> Alarm:
    return Alarm(at_ms, row["kind"], row["message"], row["job"], row["request"], row["about"], state)


def _active(row: dict[str, Any]) -> ActiveAlarm:
    alarm = _alarm(row, row["raised_ms"], "raised")
    sent = (row.get("sent", 0), row.get("sent_ms", 0), row.get("sent_level", 0))
    return ActiveAlarm(row.get("id", ""), alarm, row.get("level", 0), *sent)


def _message(row: dict[str, Any]) -> AlertMessage:
    state: AlarmState = "resolved" if row["state"] == "resolved" else "raised"
    event: AlertEvent = "alarm.resolved" if state == "resolved" else "alarm.raised"
    alarm = _alarm(row, row["at_ms"], state)
    return AlertMessage(f"alarm_{row['id']}.{state}", event, alarm, row["raised_ms"], row["sent"])
