"""Alarms for administrators, the newest last; the log has them too."""

from typing import Literal

from app.domain.alarms import Alarm
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
        job: str = "",
        upstream_request_id: str = "",
        once: str = "",
        quiet_ms: int = 0,
    ) -> bool:
        """Write an alarm; False when one with the name `once` was raised within `quiet_ms`."""
        with store_errors():
            return await scripts.raise_alarm(
                self._redis,
                raised=keys.alarm_raised(once or kind),
                kind=kind,
                message=message,
                job=job,
                request=upstream_request_id,
                kept=MAX_ALARMS,
                quiet_ms=quiet_ms,
            )

    async def raise_once(self, kind: str, message: str, *, job: str = "", upstream_request_id: str = "") -> bool:
        """Raise an alarm; False when one of its kind about this request (or sentence) is under a month old."""
        about = f"{kind}:{upstream_request_id or message}"
        return await self.raise_alarm(
            kind, message, job=job, upstream_request_id=upstream_request_id, once=about, quiet_ms=ONCE_MS
        )

    async def check_workers(self, *, expected: bool) -> tuple[Literal["silent", "back", ""], str]:
        """Raise an alarm when a role of workers has no heartbeat for too long, and when all roles are back.

        The first value says which alarm was raised, the second names the roles without a heartbeat. With `expected`
        workers are missed even while there is no work. To be called about every second (FORGET_MS).
        """
        with store_errors():
            return await scripts.check_workers(
                self._redis,
                raised=keys.alarm_raised("workers_silent"),
                expected=expected,
                alive_ms=HEARTBEAT_MS,
                grace_ms=SILENT_MS - HEARTBEAT_MS,  # a worker counts as alive for HEARTBEAT_MS after its last
                forget_ms=FORGET_MS,
                kept=MAX_ALARMS,
                rest=ROLES,
            )

    async def newest(self, count: int) -> list[Alarm]:
        """Up to `count` alarms, the newest first."""
        with store_errors():
            rows = await self._redis.xrevrange(keys.ALARMS, count=count)
        return [
            Alarm(int(alarm_id.split("-")[0]), row["kind"], row["message"], row["job"], row["request"])
            for alarm_id, row in rows
        ]
