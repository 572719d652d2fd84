"""The output of `filmgate generate` on stderr: one live line, or plain lines without a terminal."""

import os
import sys
import time
from collections import Counter
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from app.cli.cells import printable
from app.cli.generate.client import JobReply

FRAMES_A_SECOND = 8
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BAR_WIDTH = 20  # characters
STATUS_WORDS = {
    "queued": "Waiting in line",
    "submitting": "Handing it to fal",
    "running": "fal is making the clip",
    "finalizing": "Collecting the clip",
    "held": "Held",
    "succeeded": "The clip is ready",
    "failed": "Failed",
    "canceled": "Cancelled",
}


def size(count: int) -> str:
    """`151 kB`, `2.6 MB`."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"  # noqa: PLR2004  decimal units


def clock(seconds: float) -> str:
    """`7 s`, `2:05`."""
    total = int(seconds)
    return f"{total} s" if total < 60 else f"{total // 60}:{total % 60:02}"  # noqa: PLR2004  seconds a minute


class Shows(Protocol):
    """What shows the state of one take."""

    def doing(self, words: str, *details: str) -> None: ...  # noqa: D102  as in Screen
    def progress(self, done: int, total: int) -> None: ...  # noqa: D102
    def job(self, job: JobReply) -> None: ...  # noqa: D102
    def notice(self, trouble: str | None) -> None: ...  # noqa: D102


class Screen:
    """`with Screen() as screen:` shows the state that its methods set."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._doing = "Looking for the gateway"
        self._bar: tuple[int, int] | None = None
        self._details: list[str] = []
        self._log = ""
        self._trouble: str | None = None
        terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._console = Console(stderr=True, force_terminal=terminal, highlight=False)
        self._live: Live | None = None
        if terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._line,
                refresh_per_second=FRAMES_A_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def doing(self, words: str, *details: str) -> None:
        """A new state; its details may change often."""
        if self._live is None and words != self._doing:
            self._say(words, *details)
        self._doing, self._bar, self._log = words, None, ""
        self._details = list(details)

    def progress(self, done: int, total: int) -> None:
        """How many of how many bytes."""
        self._bar = (done, total)

    def job(self, job: JobReply) -> None:
        """The job's state, its position in line, why buying is stopped, and fal's last log line."""
        details = []
        if job.get("queue_position") is not None:
            details.append(f"place {job['queue_position'] + 1}")
        if paused := job.get("upstream_paused"):
            details.append(f"paused: {printable(str(paused.get('reason')))}")
        if job.get("cancel_requested_at"):
            details.append("to be cancelled")
        self.doing(STATUS_WORDS.get(job["status"], printable(str(job["status"]))), *details)
        if job.get("logs"):
            self._log = f"fal: {printable(str(job['logs'][-1].get('message', '')))}"

    def notice(self, trouble: str | None) -> None:
        """What is being retried; None after a success."""
        if self._live is None and trouble is not None and trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble

    def done(self, sentence: str) -> None:
        """A line that stays."""
        self._console.print(Text(sentence), soft_wrap=True)

    def _say(self, words: str, *details: str) -> None:
        self._console.print(Text(", ".join([words, *details])), soft_wrap=True)

    def _line(self) -> Text:
        """The live line, as wide as the terminal and no wider."""
        now = time.monotonic()
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        line.append(SPINNER[int(now * FRAMES_A_SECOND) % len(SPINNER)], "cyan")
        line.append(f" {self._doing}")
        if self._bar is not None:
            done, total = self._bar
            filled = BAR_WIDTH * done // total if total else 0
            line.append(" ").append("━" * filled, "green").append("━" * (BAR_WIDTH - filled), "dim")
            line.append(f" {size(done)} of {size(total)}" if total else f" {size(done)}")
        for detail in [*self._details, clock(now - self._began), self._log]:
            line.append(f" · {detail}" if detail else "")
        if self._trouble is not None:
            line.append(f" · {self._trouble}", "yellow")
        return line


class TakeScreen:
    """What one of several takes shows: its jobs's state counts, the screen says how many clips are ready."""

    def __init__(self, screen: Screen, states: dict[int, str], take: int) -> None:
        self._screen = screen
        self._states = states
        self._take = take
        states[take] = ""

    def doing(self, words: str, *details: str) -> None:
        """Nothing: the others do something else."""

    def progress(self, done: int, total: int) -> None:
        """Nothing, likewise."""

    def notice(self, trouble: str | None) -> None:
        """What is being retried, by any of them."""
        self._screen.notice(trouble)

    def job(self, job: JobReply) -> None:
        """The job's new state."""
        self._states[self._take] = str(job["status"])
        counts = Counter(self._states.values())
        ready = counts.pop("succeeded", 0)
        details = [f"{count} {state}" for state, count in sorted(counts.items()) if state]
        self._screen.doing(f"{ready} of {len(self._states)} clips are ready", *details)
