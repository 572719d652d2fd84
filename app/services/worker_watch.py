"""Workers that fall silent: told by the API, which lives then."""

import asyncio

import structlog

from app.domain.errors import StoreUnavailable
from app.store.alarms import AlarmStore

WATCH_S = 1.0

log = structlog.get_logger()


class WorkerWatch:
    """Rings once when workers are missed, and once when they are back, however many APIs listen."""

    def __init__(self, alarms: AlarmStore, *, expected: bool) -> None:
        self._alarms = alarms
        self._expected = expected

    async def check(self) -> None:
        """Once, for what `AlarmStore.check_workers` says; the log has what was rung."""
        rung, missing = await self._alarms.check_workers(expected=self._expected)
        if rung == "silent":
            log.error("workers.silent", missing=missing, remedy="start `filmgate worker`, or look at its log")
        elif rung == "back":
            log.warning("workers.back")

    async def run(self) -> None:
        """Every second, for ever."""
        while True:
            try:
                await self.check()
            except StoreUnavailable:
                pass  # then nobody can be heard
            except Exception:
                log.exception("worker_watch.failed")  # the next time may succeed
            await asyncio.sleep(WATCH_S)
