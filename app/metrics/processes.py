"""What a process of this host uses, as Linux tells it."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Resident memory (bytes), processor time (seconds), open files and connections."""

    memory: int
    cpu_s: float
    open_fds: int


def process_use(pid: int) -> ProcessUse | None:
    """What the process uses; None where it has ended, or where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        pages = int((PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
        # The name, in brackets, may have spaces; user and system time are the 14th and 15th field.
        after_name = (
            (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
        ticks = int(after_name[11]) + int(after_name[12])
        return ProcessUse(
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
            cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
            open_fds=sum(1 for _ in (PROC / str(pid) / "fd").iterdir()),
        )
    return None
