"""The numbers that the processes of one host count, in memory that they share.

Each process adds to numbers of its own, so none waits for another, and nothing is lost when one is killed. Those
of workers are in memory that their supervisor has made before it forks them: a process that starts again goes on
where the one before it ended, so their sum never falls while the supervisor lives. There are no files: nothing to
clean up, nothing to write on a read-only disk, and a full disk cannot kill a process in a write to mapped memory,
as it can with the files of prometheus-client's multiprocess mode.
"""

import mmap
from array import array
from collections.abc import Sequence

BYTES = 8  # of a double


class Cells:
    """The numbers that this process adds to: its own, or its part of a host's (`SharedCells.use`)."""

    def __init__(self) -> None:
        self._own = array("d")
        self.values: array[float] | memoryview[float] = self._own

    def reserve(self, count: int) -> int:
        """The place of the first of `count` further numbers, all 0; to be called while the program loads."""
        first = len(self._own)
        self._own.extend([0.0] * count)
        return first

    def __len__(self) -> int:
        return len(self._own)


CELLS = Cells()


class SharedCells:
    """The numbers of several processes of a host; made before they are forked."""

    def __init__(self, processes: int) -> None:
        self._size = len(CELLS)
        self._values = memoryview(mmap.mmap(-1, processes * self._size * BYTES)).cast("d")
        self._processes = processes

    def use(self, process: int) -> None:
        """Let this process, and those that it forks from now on, add to the numbers of this one."""
        CELLS.values = self._part(process)

    def totals(self) -> list[float]:
        """The sums over all processes."""
        return [sum(column) for column in zip(*map(self._part, range(self._processes)), strict=True)]

    def _part(self, process: int) -> "memoryview[float]":
        return self._values[process * self._size : (process + 1) * self._size]


def own_totals() -> Sequence[float]:
    """The numbers of this process alone."""
    return CELLS.values.tolist()
