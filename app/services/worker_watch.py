"""Alarms about missing workers, raised by the API processes, which are alive then."""

from dataclasses import dataclass

import structlog

from app.domain.heartbeats import ROLES
from app.store.alarms import AlarmStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerWatch:
    """Raises one alarm when a kind of worker is missing, and one when all are back, however many APIs check."""

    alarms: AlarmStore
    expected: bool
    roles: tuple[str, ...] = ROLES

    async def check(self) -> None:
        """Check once, and log the alarm that was raised."""
        raised, missing = await self.alarms.check_workers(expected=self.expected, roles=self.roles)
        if raised == "silent":
            log.error("workers.silent", missing=missing, remedy="start `filmgate worker`, or read its log")
        elif raised == "back":
            log.warning("workers.back")
