"""Alarms: what an administrator must know, the newest last; the log has them too.

Also what one must know of jobs before deciding about a held one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.ids import join_ref
from app.store import keys
from app.store.connection import Client, store_errors

REMEMBERED = 1000
STRETCH = 1000  # records asked at once


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm: a stable word, a sentence, the job if it is about one, fal's request if it names one."""

    at_ms: int
    kind: str
    message: str
    job: str
    upstream_request_id: str


class AlarmStore:
    """Writes and reads alarms, and reads what a decision about a held job rests on."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def ring(self, kind: str, message: str, *, job: str = "", upstream_request_id: str = "") -> None:
        """Write an alarm."""
        record = {"kind": kind, "message": message, "job": job, "request": upstream_request_id}
        with store_errors():
            await self._redis.xadd(keys.ALARMS, record, maxlen=REMEMBERED)

    async def newest(self, count: int) -> list[Alarm]:
        """Up to `count` alarms, the newest first."""
        with store_errors():
            rows = await self._redis.xrevrange(keys.ALARMS, count=count)
        return [
            Alarm(int(alarm_id.split("-")[0]), row["kind"], row["message"], row["job"], row["request"])
            for alarm_id, row in rows
        ]

    async def held_since(self, refs: Sequence[str]) -> dict[str, int]:
        """Since when (ms) each of these jobs is held; those that are not held are left out."""
        if not refs:
            return {}
        with store_errors():
            scores = await self._redis.zmscore(keys.HELD, list(refs))
        return {ref: int(at_ms) for ref, at_ms in zip(refs, scores, strict=True) if at_ms is not None}

    async def has_request(self, upstream_request_id: str) -> str | None:
        """Ref of the job of any team, ended ones too, that has this request of fal's; None when none has.

        There is no index from fal's ids to jobs: every record that is kept is asked for this one field.
        """
        with store_errors():
            for team in sorted(await self._redis.smembers(keys.TEAMS)):
                ids = await self._redis.zrange(keys.team_jobs(team), 0, -1, desc=True)
                refs = [join_ref(team, job_id) for job_id in ids]
                for start in range(0, len(refs), STRETCH):
                    stretch = refs[start : start + STRETCH]
                    pipe = self._redis.pipeline(transaction=False)
                    for ref in stretch:
                        pipe.hget(keys.job(ref), "upstream_request_id")
                    for ref, request_id in zip(stretch, await pipe.execute(), strict=True):
                        if request_id == upstream_request_id:
                            return ref
        return None
