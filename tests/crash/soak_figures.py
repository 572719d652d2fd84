"""What the processes of an installation use over time, and whether it grows."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.support.memory import resident_kb
from tests.support.processes import children
from tests.support.server import Server
from tests.support.workers import Workers

MORE_KB, MORE_SHARE = 6_000, 0.08  # of memory, from the second third to the last: caches fill at first
MORE_FILES = 8  # connections to the store and to fal come and go
THIRDS = 3


@dataclass(frozen=True, slots=True)
class Use:
    """One process at one moment: resident memory in KB, open descriptors."""

    memory_kb: int
    files: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of the second and of the last third of a run, of one process."""

    before: Use
    after: Use

    @property
    def grows(self) -> bool:
        """True when the last third has clearly more than the second."""
        room_kb = MORE_KB + MORE_SHARE * self.before.memory_kb
        return (
            self.after.memory_kb > self.before.memory_kb + room_kb
            or self.after.files > self.before.files + MORE_FILES
        )

    def __str__(self) -> str:
        memory = f"{self.before.memory_kb / 1024:5.0f} → {self.after.memory_kb / 1024:5.0f} MB"
        return (
            f"{memory}, {self.before.files:3} → {self.after.files:3} descriptors{'  GROWS' if self.grows else ''}"
        )


@dataclass
class Figures:
    """Samples of processes that no fault ends, by name and process id."""

    api: Server
    workers: Workers
    samples: dict[str, list[Use]] = field(default_factory=dict)
    pids: dict[str, set[int]] = field(default_factory=dict)

    def sample(self) -> None:
        """Note what each process uses now."""
        found = {"api": [self.api.pid], "supervisor": [self.workers.pid]}
        for pid, command in sorted(children(self.workers.pid)):
            found.setdefault(command.split("\0")[-1], []).append(pid)
        for name, pids in found.items():
            for number, pid in enumerate(pids, 1):
                with contextlib.suppress(OSError, ValueError):  # it has just ended
                    which = name if len(pids) == 1 else f"{name} {number}"
                    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                    self.samples.setdefault(which, []).append(Use(resident_kb(pid), files))
                    self.pids.setdefault(which, set()).add(pid)

    def growth(self) -> dict[str, Growth]:
        """By process."""
        return {name: growth_of(samples) for name, samples in self.samples.items() if len(samples) >= THIRDS}

    def replaced(self) -> list[str]:
        """Processes that have ended during the run, although no fault was theirs."""
        return sorted(name for name, pids in self.pids.items() if len(pids) > 1)


def growth_of(samples: Sequence[Use]) -> Growth:
    """From the second third to the last."""
    third = len(samples) // THIRDS
    return Growth(_median(samples[third : 2 * third]), _median(samples[2 * third :]))


def _median(samples: Sequence[Use]) -> Use:
    return Use(round(median(one.memory_kb for one in samples)), round(median(one.files for one in samples)))
