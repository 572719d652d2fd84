"""Outages in the log: one line at the begin and one at the end, however many calls fail in between."""

import contextvars
import time
from typing import Any

import structlog

QUIET_S = 3.0  # without a failure, until an outage is over: while only writes fail, reads between them end nothing

log = structlog.get_logger()


class Outage:
    """The failures of one service, as seen by one process.

    The lines are `NAME.away`, once for each cause, and `NAME.back`. The end is seen by the next call that works,
    which may be minutes later: `seconds` is to the last failure, which is what was seen, and `seconds_at_most` to
    the first success. Neither line is about the request or step whose call it was.
    """

    __slots__ = ("_away", "_back", "_back_at", "_began", "_causes", "_failed_at", "_failures", "on")

    def __init__(self, name: str) -> None:
        self._away, self._back = f"{name}.away", f"{name}.back"
        self.on = False  # between the two lines; ask it before `worked`, where each microsecond counts
        self._began = self._failed_at = 0.0
        self._back_at: float | None = None  # the first success after the last failure
        self._failures = 0
        self._causes: set[str] = set()

    @property
    def failures(self) -> int:
        """How many there were so far; 0 outside of an outage."""
        return self._failures if self.on else 0

    def failed(self, cause: str, *, count: int = 1, **more: Any) -> None:
        """A call, or `count` of them, has failed. `cause` is a word, and `more` goes into its line."""
        now = time.monotonic()
        if not self.on:
            self.on, self._began, self._failures = True, now, 0
            self._causes.clear()
        self._failed_at, self._back_at = now, None
        self._failures += count
        if cause not in self._causes:
            self._causes.add(cause)
            _log(self._away, cause=cause, **more)

    def worked(self) -> None:
        """A call has succeeded."""
        if not self.on:
            return
        now = time.monotonic()
        self._back_at = self._back_at or now
        if now - self._failed_at >= QUIET_S:
            self.on = False
            _log(
                self._back,
                failures=self._failures,
                seconds=round(self._failed_at - self._began, 1),
                seconds_at_most=round(self._back_at - self._began, 1),
            )


def _log(event: str, **more: Any) -> None:
    """A line outside of every context: that of the request has its trace, its team, its key."""
    contextvars.Context().run(log.warning, event, **more)
