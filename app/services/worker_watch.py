"""Alarms about missing workers, raised by the API processes, which are alive then."""

import structlog

from app.store.alarms import AlarmStore

log = structlog.get_logger()


class WorkerWatch:
    """Raises one alarm when a kind of worker is missing, and one when all are back, however many APIs check."""

    def __init__(self, alarms: AlarmStore, *, expected: bool) -> None:
        self._alarms = alarms
        self._expected = expected

    async def check(self) -> None:
        """Check once, and log the alarm that was raised."""
        raised, missing = await self._alarms.check_workers(expected=self._expected)
        if raised == "silent":
            log.error("workers.silent", missing=missing, remedy="start `filmgate worker`, or read its log")
        elif raised == "back":
            log.warning("workers.back")
