"""Reports of this process's host: that it is alive, its settings, its clock."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from app.domain.errors import StoreUnavailable
from app.machine import process_name
from app.services.host_places import replacements, without_place
from app.store.hosts import HostStore

EVERY_S = 3.0
LATE_MS = 6_000  # two reports missed: a process that began since may have come in this one's place


class HostReport:
    """Reports one API, or one host's workers. `wall` is the host's clock, in seconds since 1970."""

    def __init__(
        self,
        hosts: HostStore,
        role: Literal["api", "worker"],
        *,
        settings: Mapping[str, str],
        name: str = "",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = hosts
        self._name = f"{role} {name or process_name(os.getpid())}"
        self._settings = settings
        self._wall = wall
        self._next = 0.0

    async def report(self) -> None:
        """Report, every few seconds. To be called about every second."""
        if time.monotonic() < self._next:
            return
        await self._hosts.report(self._name, wall_ms=round(self._wall() * 1000), settings=self._settings)
        self._next = time.monotonic() + EVERY_S

    async def close(self) -> None:
        """Stop in order: nobody will miss this host, nor again the one in whose place it came."""
        with suppress(StoreUnavailable):
            now_ms, records = await self._hosts.all()
            late = without_place(records, now_ms, after_ms=LATE_MS)
            replaced = replacements(late, records)
            ours = (one for one in late if one.name in replaced and replaced[one.name].name == self._name)
            await self._hosts.stop(self._name, in_place_of=next(ours, None))
