"""Child processes: they end with their parent, and are restarted after growing pauses."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1
PAUSE_S = 0.2  # doubled for each death in a row
MAX_PAUSE_S = 10.0
STABLE_S = 10.0  # a child that lived so long begins a new row of deaths

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Restarts:
    """When a child may be restarted: at once after its first death, later after each further one in a row."""

    def __init__(self) -> None:
        self._deaths = 0
        self._started = 0.0
        self._not_before = 0.0

    @property
    def due(self) -> bool:
        """True when its pause is over."""
        return time.monotonic() >= self._not_before

    def started(self) -> None:
        """Note a start."""
        self._started = time.monotonic()

    def died(self) -> float:
        """Note a death; how many seconds the child lived."""
        now = time.monotonic()
        lived = now - self._started
        self._deaths = 1 if lived > STABLE_S else self._deaths + 1
        pause = min(MAX_PAUSE_S, PAUSE_S * 2 ** min(self._deaths - 1, 10))  # within a float's range
        self._not_before = now + (pause if self._deaths > 1 else 0)
        return lived


def die_with_parent() -> Callable[[], None]:
    """A `preexec_fn` that calls `die_with` in the child."""
    return partial(die_with, os.getpid())


def die_with(parent: int) -> None:
    """Ask Linux for a SIGTERM when the parent's thread ends; exit at once if the parent has ended already."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
