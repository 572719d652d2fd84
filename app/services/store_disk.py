"""The disk of the embedded store. A store that cannot write its log ends, so nothing new comes in before that."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import Unavailable

RESERVE = 256 * 1024 * 1024  # bytes: what running jobs, events and logs still write is a small part of that
PART = 50  # of a small disk: two per cent
AGAIN_S = 60  # somebody has to make room


@dataclass(frozen=True, slots=True)
class StoreDisk:
    """Where the store's files are; `path` is None where the store is not ours and its disk cannot be seen."""

    path: Path | None

    def require_room(self) -> None:
        """Unavailable when the reserve is touched: what is accepted already needs the rest."""
        if self.path is not None:
            free, reserve = self._measured(self.path)
            if free < reserve:
                raise Unavailable(
                    "The disk of the gateway's store is nearly full: no new jobs until there is room.",
                    retry_after=AGAIN_S,
                )

    def may_rewrite(self) -> bool:
        """True while the store's log fits onto the disk once more: the store writes it anew beside the old one."""
        if self.path is None:
            return True
        free, reserve = self._measured(self.path)
        return free >= reserve + self._log_bytes(self.path)

    def fault(self) -> str | None:
        """A sentence for the administrator once room gets short: twice the reserve, and the store's log once more.

        The store writes its log anew from time to time, beside the old one.
        """
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
        """How long the store's log is; a file that goes meanwhile has none."""
        found = 0
        for file in path.glob("appendonlydir/*"):
            with suppress(FileNotFoundError):
                found += file.stat().st_size
        return found

    @staticmethod
    def _measured(path: Path) -> tuple[int, int]:
        """Bytes that are free for us, and those that are kept back."""
        disk = os.statvfs(path)
        return disk.f_bavail * disk.f_frsize, min(RESERVE, disk.f_blocks * disk.f_frsize // PART)
