"""Alarms for administrators: a history, the newest last, and those that are active; the log has them too."""

import json
from typing import Literal

from app.domain.alarms import KINDS, Alarm, AlarmState
from app.domain.heartbeats import ROLES
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.heartbeats import HEARTBEAT_MS

MAX_ALARMS = 1000
SILENT_MS = 60_000  # how long workers may have no heartbeat; a restart or a move to another host takes less
ONCE_MS = 30 * 86_400_000
FORGET_MS = 10_000  # after a longer gap between checks the silence is measured again: the store itself was away


class AlarmStore:
    """Writes and reads alarms."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def raise_alarm(
        self,
        kind: str,
        message: str,
        *,
        about: str = "",
        job: str = "",
        upstream_request_id: str = "",
        level: int = 0,
        once: str = "",
        quiet_ms: int = 0,
    ) -> bool:
        """Raise an alarm of a kind in `app/domain/alarms.py`; KeyError for another.

        A kind with a state is active until `resolve_alarm`, `about` telling several apart. Raised again meanwhile,
        its sentence is renewed; True only when it was not active, or `level` says that it is worse than before.

        A kind without a state tells of an event: False when one with the name `once` (by default its kind) was
        raised within `quiet_ms`.
        """
        with store_errors():
            return await scripts.raise_alarm(
                self._redis,
                raised=keys.alarm_raised(once or kind),
                kind=kind,
                about=about,
                message=message,
                job=job,
                request=upstream_request_id,
                has_state=bool(KINDS[kind].ends),
                level=level,
                kept=MAX_ALARMS,
                quiet_ms=quiet_ms,
            )

    async def resolve_alarm(self, kind: str, message: str, *, about: str = "") -> bool:
        """End an active alarm, saying why; False, and nothing changes, when it is not active."""
        with store_errors():
            return await scripts.resolve_alarm(
                self._redis, kind=kind, about=about, message=message, kept=MAX_ALARMS
            )

    async def raise_once(self, kind: str, message: str, *, job: str = "", upstream_request_id: str = "") -> bool:
        """Raise an alarm; False when one of its kind about this request (or sentence) is under a month old."""
        about = f"{kind}:{upstream_request_id or message}"
        return await self.raise_alarm(
            kind, message, job=job, upstream_request_id=upstream_request_id, once=about, quiet_ms=ONCE_MS
        )

    async def check_workers(
        self, *, expected: bool, roles: tuple[str, ...] = ROLES
    ) -> tuple[Literal["silent", "back", ""], str]:
        """Raise an alarm when a role of workers has no heartbeat for too long; resolve it when all roles are back.

        The first value says which of these was done, the second names the missing roles. With `expected` workers
        are missed even while there is no work. To be called about every second (FORGET_MS).
        """
        with store_errors():
            return await scripts.check_workers(
                self._redis,
                expected=expected,
                alive_ms=HEARTBEAT_MS,
                grace_ms=SILENT_MS - HEARTBEAT_MS,  # a worker counts as alive for HEARTBEAT_MS after its last
                forget_ms=FORGET_MS,
                kept=MAX_ALARMS,
                rest=roles,
            )

    async def newest(self, count: int) -> list[Alarm]:
        """Up to `count` alarms as they were raised and resolved, the newest first."""
        with store_errors():
            rows = await self._redis.xrevrange(keys.ALARMS, count=count)
        return [_alarm(int(row_id.split("-")[0]), row) for row_id, row in rows]

    async def active(self) -> list[Alarm]:
        """The alarms that are not over, with the time when they were raised, the oldest first."""
        with store_errors():
            found = await self._redis.hgetall(keys.ACTIVE_ALARMS)
        rows = map(json.loads, found.values())
        return sorted((_alarm(row["raised_ms"], row) for row in rows), key=lambda alarm: alarm.at_ms)


def _alarm(at_ms: int, row: dict[str, str]) -> Alarm:
    """From a row or an active alarm; rows of older versions have neither `about` nor `state`."""
    state: AlarmState = "resolved" if row.get("state") == "resolved" else "raised"
    return Alarm(at_ms, row["kind"], row["message"], row["job"], row["request"], row.get("about", ""), state)
