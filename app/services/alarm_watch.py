"""Compares how things are with the alarms about them: raises what is missing, resolves what is over.

By state and not by event, so that no restart, crash or outage loses an alarm, or leaves one behind.
"""

import time
from collections.abc import Sequence
from contextlib import suppress

import structlog

from app.domain.alarms import KINDS
from app.domain.errors import StoreUnavailable
from app.services.checks.finding import Check, Finding
from app.store.alarms import AlarmStore
from app.store.leases import LeaseStore

LEASE, LEASE_MS = "watch", 10_000

log = structlog.get_logger()


class AlarmWatch:
    """Runs the checks in one process for all hosts."""

    def __init__(self, alarms: AlarmStore, leases: LeaseStore, checks: Sequence[Check]) -> None:
        self._alarms = alarms
        self._leases = leases
        self._next = dict.fromkeys(checks, 0.0)

    async def check(self) -> None:
        """Run the checks that are due, if this process is the one that does. To be called about every second."""
        if not await self._leases.take(LEASE, ms=LEASE_MS):
            return
        now = time.monotonic()
        for check in [check for check, at in self._next.items() if now >= at]:
            self._next[check] = now + check.every_s
            await self._run(check)

    async def run_all(self) -> None:
        """Run every check now, whichever process is the one that does."""
        for check in self._next:
            await self._run(check)

    async def close(self) -> None:
        """Let another process do it."""
        with suppress(StoreUnavailable):
            await self._leases.leave(LEASE)

    async def _run(self, check: Check) -> None:
        try:
            await self._reconcile(check.kinds, await check.findings())
        except StoreUnavailable:
            raise
        except Exception:  # one check that fails must not silence the others
            log.exception("alarm_check.failed", check=type(check).__name__)

    async def _reconcile(self, kinds: frozenset[str], findings: Sequence[Finding]) -> None:
        """Raise what was found, renew sentences that have changed, resolve what was not found any more."""
        active = {(alarm.kind, alarm.about): alarm for alarm in await self._alarms.active() if alarm.kind in kinds}
        for found in findings:
            known = active.pop((found.kind, found.about), None)
            if known is not None and known.message == found.message:
                continue
            if await self._alarms.raise_alarm(
                found.kind, found.message, about=found.about, job=found.job, level=found.level
            ):
                log.error("alarm.raised", kind=found.kind, about=found.about or None, message=found.message)
        for kind, about in active:
            if await self._alarms.resolve_alarm(kind, f"Over: {KINDS[kind].ends}.", about=about):
                log.warning("alarm.resolved", kind=kind, about=about or None)
