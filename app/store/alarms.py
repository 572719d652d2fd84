"""Alarms: what an administrator must know, the newest last; the log has them too."""

from dataclasses import dataclass

from app.store import keys
from app.store.connection import Client, store_errors
from app.store.scripts import script

REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: a stable word, a sentence, the job if it is about one, fal's request if it names one."""

    at_ms: int
    kind: str
    message: str
    job: str
    upstream_request_id: str


class AlarmStore:
    """Writes and reads alarms."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def ring(
        self,
        kind: str,
        message: str,
        *,
        job: str = "",
        upstream_request_id: str = "",
        once: str = "",
        quiet_ms: int = 0,
    ) -> bool:
        """Write an alarm; with `quiet_ms`, none of the name `once` follows for so long, and False is said."""
        with store_errors():
            rung = await script("ring").run(
                self._redis,
                keys={"alarms": keys.ALARMS, "said": keys.alarm_said(once or kind)},
                args={
                    "kind": kind,
                    "message": message,
                    "job": job,
                    "request": upstream_request_id,
                    "most": REMEMBERED,
                    "quiet_ms": quiet_ms,
                },
            )
        return bool(rung)

    async def newest(self, count: int) -> list[Alarm]:
        """Up to `count` alarms, the newest first."""
        with store_errors():
            rows = await self._redis.xrevrange(keys.ALARMS, count=count)
        return [
            Alarm(int(alarm_id.split("-")[0]), row["kind"], row["message"], row["job"], row["request"])
            for alarm_id, row in rows
        ]
