"""Housekeeping of `filmgate up`: rotates its logs, and watches the disk that they share with the store."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from app.children import result_of
from app.cli.logs import rotate
from app.domain.errors import StoreUnavailable
from app.services.store_disk import StoreDisk

CHECK_S = 5.0  # between two checks of the disk
REWRITE_SETTING = "auto-aof-rewrite-percentage"
REWRITES_OFF, REWRITES_ON = 0, 100  # percent; 100 is the store's default


class Housekeeping:
    """Called often by the supervisor, which has no event loop; `store_url` is the embedded store's."""

    def __init__(self, data_dir: Path, logs: Sequence[Path], *, store_url: str | None) -> None:
        self._logs = [*logs, data_dir / "redis.log"]
        self._disk = StoreDisk(data_dir if store_url is not None else None)
        self._store_url = store_url
        self._next_check = 0.0
        self._reported = False
        self._in_store: str | None = ""  # the fault that the store has as an alarm; "" until the first check
        self._rewrites_off = False  # the store does not rewrite its log

    def rotate_logs(self) -> None:
        """Move what is in full logs to older files."""
        for path in self._logs:
            rotate(path)

    def check(self) -> str | None:
        """Rotate the logs, and check the disk; a new fault as a sentence. It is an alarm until there is room again.

        While the disk has no room for a second copy of the store's log, rewriting it is switched off.
        """
        self.rotate_logs()
        if time.monotonic() < self._next_check:
            return None
        self._next_check = time.monotonic() + CHECK_S
        fault, hold = self._disk.fault(), not self._disk.may_rewrite()
        new = fault if not self._reported else None
        self._reported = fault is not None
        if self._store_url is not None and (hold or fault != self._in_store or self._rewrites_off):
            with suppress(StoreUnavailable):
                update = partial(_update_store, self._store_url, fault, hold=hold)
                result_of(lambda: asyncio.run(update()), name="housekeeping")
                self._rewrites_off, self._in_store = hold, fault
        return new


async def _update_store(url: str, fault: str | None, *, hold: bool) -> None:
    """Raise or resolve the alarm; set `hold` at each check, because a restarted store has lost the setting."""
    from app.store.alarms import AlarmStore  # noqa: PLC0415  only in a copy of the process: they take 20 MB
    from app.store.connection import connect, disconnect, store_errors  # noqa: PLC0415

    redis = connect(url, name="filmgate-up")
    try:
        with store_errors():  # on a full disk it ends, and is not there until the next look
            await redis.config_set(REWRITE_SETTING, REWRITES_OFF if hold else REWRITES_ON)
        if fault is not None:
            await AlarmStore(redis).raise_alarm("disk_low", fault)
        else:
            await AlarmStore(redis).resolve_alarm("disk_low", "The disk has room again.")
    finally:
        await disconnect(redis)
