"""Backups on a schedule: the keeper of one host runs `filmgate backup --to-storage` when the last is old enough."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import structlog

from app.children import die_with_parent
from app.settings import Settings
from app.stores import Stores

CHECK_S = 20.0
LEASE_MS = 120_000  # renewed at each check; when the host dies, another begins after this
RETRY_MS = 900_000  # after a failure, or after the interval where that is shorter
MAX_WORDS = 400

LEASE = "backup"
COMMAND = (sys.executable, "-m", "app.cli", "backup", "--to-storage", "--json")

log = structlog.get_logger()


class BackupSchedule:
    """Does nothing without FILMGATE_BACKUP_EVERY.

    A backup is a process of its own: it loads the storage's library, and what it takes of memory ends with it.
    """

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self._every_ms = None if settings.backup_every is None else settings.backup_every * 1000
        self._stores = stores
        self._checked: float | None = None
        self._running: asyncio.Task[None] | None = None
        self._process: Process | None = None

    async def check(self) -> None:
        """Every twenty seconds: begin a backup when it is due, and raise the alarm while one is overdue.

        1. one host at a time: the others do nothing
        2. overdue: an alarm, which the next backup resolves
        3. due: start one, unless the last failure is a moment ago
        """
        now = time.monotonic()
        if self._every_ms is None or (self._checked is not None and now - self._checked < CHECK_S):
            return
        self._checked = now
        if not await self._stores.leases.take(LEASE, ms=LEASE_MS):
            return
        if self._running is not None and not self._running.done():
            return
        last = await self._stores.backup.last()
        if last.is_late(self._every_ms):
            why = f" The last try failed: {last.why}" if last.why else ""
            await self._stores.alarms.raise_alarm(
                "backup_failed", f"The newest backup is {last.age_hours:.1f} hours old.{why}", level=2
            )
        wait_ms = min(RETRY_MS, self._every_ms)
        due = last.at_ms is None or last.now_ms - last.at_ms >= self._every_ms
        if due and (last.failed_ms is None or last.now_ms - last.failed_ms >= wait_ms):
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        """Make a backup, and raise or resolve the alarm."""
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdout=PIPE, stderr=PIPE, preexec_fn=die_with_parent()
            )
            self._process = process
            _, said = await process.communicate()
            if process.returncode == 0:
                made = await self._stores.backup.last()
                log.info("backup.made", name=made.name, bytes=made.bytes)
                await self._stores.alarms.resolve_alarm("backup_failed", f"The backup {made.name} was written.")
                return
            why = " ".join(said.decode(errors="replace").split("\n")[-2:]).strip()[:MAX_WORDS]
            why = why.removeprefix("filmgate: ") or f"the process ended with {process.returncode}."
            log.error("backup.failed", why=why, remedy="docs/runbook.md#backup_failed")
            await self._stores.backup.note_failure(why)
            await self._stores.alarms.raise_alarm("backup_failed", f"The backup was not written: {why}", level=1)
        except Exception:
            log.exception("backup.failed")  # the store went away meanwhile; it is tried again

    async def close(self) -> None:
        """End a running backup: what it wrote does not count."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=5)
