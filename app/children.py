"""Child processes: they die with their parent, and what dies is started again with a growing pause."""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PAUSE_S = 0.2  # doubled for each death in a row, so that a broken set-up does not spin
PAUSE_CAP_S = 10.0
STEADY_S = 10.0  # a child that lived so long died of something new

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Restarts:
    """When a child may be started again: at once after its first death, later after each death in a row."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started = 0.0
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """True when its pause is over."""
        return time.monotonic() >= self._not_before

    def started(self) -> None:
        """It runs from now on."""
        self._started = time.monotonic()

    def died(self) -> float:
        """It has ended by itself; how many seconds it lived."""
        now = time.monotonic()
        lived = now - self._started
        self._deaths = 1 if lived > STEADY_S else self._deaths + 1
        pause = min(PAUSE_CAP_S, PAUSE_S * 2 ** min(self._deaths - 1, 10))  # no number is too large for a float
        self._not_before = now + (pause if self._deaths > 1 else 0)
        return lived


class DieWithParent:
    """Runs in the child before exec: SIGTERM when the parent's thread ends, however that happens (Linux)."""

    def __init__(self) -> None:
        self._parent = os.getpid()

    def __call__(self) -> None:
        """Asks the kernel for the signal; ends at once where the parent is gone already."""
        die_with(self._parent)


def die_with(parent: int) -> None:
    """Ask Linux for a SIGTERM when the parent's thread ends; leave at once where the parent is gone already."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
