"""What a start waits for: said on the terminal as soon as it takes more than a moment, and read from logs."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST_REPORT_S = 3.0  # a start that is over by then says nothing
REPORT_EVERY_S = 5.0
MAX_CRASHES = 3  # of workers at their birth, until the start is given up


class StartProgress:
    """Says what is waited for, through `say`, but not more often than somebody wants to read. `clock`: seconds."""

    def __init__(self, say: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._began = clock()
        self._next = self._began + FIRST_REPORT_S

    def report(self, what: str) -> None:
        """Called again and again while it waits."""
        now = self._clock()
        if now >= self._next:
            self._next = now + REPORT_EVERY_S
            self._say(f"Waiting for {what} ({now - self._began:.0f} s) …")


class WorkersLog:
    """The part of the workers' log that is written after this object is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def startup_failure(self) -> str | None:
        """Why workers die as soon as they are started, where several have; their last words, or None."""
        if not self._path.exists():
            return None
        with self._path.open("rb") as log:
            log.seek(self._start)
            lines = log.read().decode(errors="replace").splitlines()
        if sum("worker.died" in line for line in lines) < MAX_CRASHES:
            return None
        return next(
            (_reason(line) for line in reversed(lines) if "worker.failed" in line), "its last lines say why"
        )


def _reason(line: str) -> str:
    """The reason in one line of the log, which is JSON unless somebody wants to read it as text."""
    try:
        said: dict[str, Any] = json.loads(line)
        return str(said["reason"])
    except (ValueError, KeyError, TypeError):
        return line.strip()


def describe_missing(ready: Any) -> str:
    """What `/readyz` says is not there yet, in words."""
    if not isinstance(ready, dict):
        return "the API"
    if ready.get("workers_missing"):
        return f"workers to report for work: {', '.join(ready['workers_missing'])}"
    return f"the store, which is {ready.get('store', 'away')}"
