"""The disk of the embedded store, which stops when it cannot write; so jobs are refused before the disk is full."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import Unavailable

MAX_RESERVE = 256 * 1024 * 1024  # bytes; admitted jobs, events and logs need a small part of that
RESERVE_DIVISOR = 50  # the reserve of a small disk is 2 % of it
RETRY_S = 60


@dataclass(frozen=True, slots=True)
class StoreDisk:
    """The disk with the store's files; `path` is None when the store is not the embedded one."""

    path: Path | None

    def require_room(self) -> None:
        """Unavailable when less than the reserve is free: admitted jobs need that."""
        if self.path is not None:
            free, reserve = self._measured(self.path)
            if free < reserve:
                raise Unavailable(
                    "The disk of the gateway's store is nearly full: no new jobs until there is room.",
                    retry_after=RETRY_S,
                )

    def may_rewrite(self) -> bool:
        """True while there is room for a second copy of the store's log, which a rewrite needs."""
        if self.path is None:
            return True
        free, reserve = self._measured(self.path)
        return free >= reserve + self._log_bytes(self.path)

    def fault(self) -> str | None:
        """A sentence for the administrator once less is free than twice the reserve and a rewrite of the log."""
        if self.path is None:
            return None
        free, reserve = self._measured(self.path)
        if free >= 2 * reserve + self._log_bytes(self.path):
            return None
        return (
            f"The store's disk has {free >> 20} MB left ({self.path}): make room. Below {reserve >> 20} MB no job "
            "is accepted, and without any the store ends."
        )

    @staticmethod
    def _log_bytes(path: Path) -> int:
        """Bytes of the store's log; a file that is removed meanwhile counts 0."""
        size = 0
        for file in path.glob("appendonlydir/*"):
            with suppress(FileNotFoundError):
                size += file.stat().st_size
        return size

    @staticmethod
    def _measured(path: Path) -> tuple[int, int]:
        """Free bytes, and the reserve."""
        disk = os.statvfs(path)
        return disk.f_bavail * disk.f_frsize, min(MAX_RESERVE, disk.f_blocks * disk.f_frsize // RESERVE_DIVISOR)
