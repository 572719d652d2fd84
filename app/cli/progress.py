"""Progress of a start: what it waits for, and why workers crash."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIRST_REPORT_S = 3.0  # a quicker start reports nothing
REPORT_EVERY_S = 5.0
MAX_CRASHES = 3  # of workers, until the start is given up


class StartProgress:
    """Reports through `say` what a start waits for, after 3 s and then every 5 s. `clock`: seconds."""

    def __init__(self, say: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._began = clock()
        self._next = self._began + FIRST_REPORT_S

    def report(self, what: str) -> None:
        """Call this often while waiting for `what`."""
        now = self._clock()
        if now >= self._next:
            self._next = now + REPORT_EVERY_S
            self._say(f"Waiting for {what} ({now - self._began:.0f} s) …")


class WorkersLog:
    """The workers' log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size if path.exists() else 0

    def startup_failure(self) -> str | None:
        """The logged reason of repeated crashes; None without several crashes."""
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
    """The reason in a log line, which is JSON or text."""
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return line.strip()


def describe_missing(ready: Any) -> str:
    """What is missing according to `/readyz`, in words."""
    if not isinstance(ready, dict):
        return "the API"
    if ready.get("workers_missing"):
        return f"workers to report for work: {', '.join(ready['workers_missing'])}"
    return f"the store, which is {ready.get('store', 'away')}"
