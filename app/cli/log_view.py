"""`filmgate logs`: the lines that `filmgate up` keeps in the data directory, merged by time, as text."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from app.cli.cells import printable, readable, shortened
from app.cli.exits import Failure, leave_stdout

TAIL_BYTES = 256 * 1024  # of each file, without a filter
POLL_S = 0.3
LEVELS = ("debug", "info", "warning", "error", "critical")
COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}
OWN_MEMBERS = frozenset({"timestamp", "level", "process", "event", "exception"})


class Level(StrEnum):
    """The least level that is shown."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log. A line that is no JSON has its text as the event, and the time of the line before."""

    timestamp: str
    level: str
    process: str
    event: str
    members: dict[str, Any]
    exception: str = ""

    @classmethod
    def read(cls, text: str, *, process: str, before: str) -> "LogLine":
        """The line in a file of this program, after a line with the timestamp `before`."""
        try:
            found = json.loads(text)
            members = {name: value for name, value in found.items() if name not in OWN_MEMBERS}
            names = (str(found.get(name, "")) for name in ("timestamp", "level", "process", "event", "exception"))
            at, level, role, event, exception = names
            return cls(at or before, level or "info", role or process, event, members, exception)
        except (ValueError, AttributeError):
            return cls(before, "info", process, printable(text), {})


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Which lines are shown."""

    job: str | None
    trace: str | None
    level: str

    def takes(self, line: LogLine) -> bool:
        """True for a line about the job and the trace, if given, whose ids may be cut, of the level or above."""
        for name, wanted in (("job", self.job), ("trace_id", self.trace)):
            if wanted is not None and not str(line.members.get(name) or "").startswith(wanted):
                return False
        return line.level not in LEVELS or LEVELS.index(line.level) >= LEVELS.index(self.level)

    @property
    def searches(self) -> bool:
        """True when older files are read too."""
        return self.job is not None or self.trace is not None


Count = Annotated[int, typer.Option("--lines", "-n", metavar="COUNT", min=0, help="The newest so many.")]
OfJob = Annotated[str | None, typer.Option("--job", metavar="JOB", help="About this job; its id may be cut.")]
OfTrace = Annotated[
    str | None, typer.Option("--trace", metavar="ID", help="Of this X-Request-ID, which problems name as trace_id.")
]
Least = Annotated[Level, typer.Option("--level", help="Of this level or above.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")]


def logs(
    *,
    follow: Follow = False,
    job: OfJob = None,
    trace: OfTrace = None,
    level: Least = Level.INFO,
    lines: Count = 50,
) -> None:
    """Show the logs of `filmgate up` as text, the oldest of the newest lines first; times are UTC.

    They are in FILMGATE_DATA_DIR/logs. Processes that were started alone write to stderr.
    """
    folder = Path(os.environ.get("FILMGATE_DATA_DIR") or ".filmgate") / "logs"
    files = sorted(folder.glob("*.log"))
    if not files:
        raise Failure(f"There are no logs in {folder}: `filmgate up` writes them; FILMGATE_DATA_DIR says where.")
    wanted = LineFilter(job, trace, level)
    opened = [file.open("rb") for file in files]
    try:
        found = merge(*(_lines_of(file, wanted) for file in opened), key=attrgetter("timestamp"))
        newest = [line for line in found if wanted.takes(line)]
        _print(newest[-lines:] if lines else [])
        if follow:
            asyncio.run(_follow(opened, wanted))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # `| head`
        leave_stdout()
    finally:
        for file in opened:
            file.close()


def _lines_of(file: IO[bytes], wanted: LineFilter) -> Iterator[LogLine]:
    """The lines of a log, and of its older files if all are searched; else only its end."""
    path = Path(str(file.name))
    if wanted.searches:
        for older in sorted(path.parent.glob(f"{path.name}.*"), reverse=True):
            yield from _parsed(older.read_bytes(), path.stem)
    else:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        if size > TAIL_BYTES:
            file.readline()
    yield from _parsed(file.read(), path.stem)


def _parsed(content: bytes, process: str, before: str = "") -> Iterator[LogLine]:
    for text in content.decode(errors="replace").splitlines():
        if text.strip():
            line = LogLine.read(text, process=process, before=before)
            before = line.timestamp
            yield line


async def _follow(files: Sequence[IO[bytes]], wanted: LineFilter) -> None:
    """Print what is appended, until cancelled; a file that became shorter has begun anew."""
    rests = dict.fromkeys(files, b"")
    while True:
        fresh: list[LogLine] = []
        for file in files:
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)
            whole, end, rests[file] = (rests[file] + file.read()).rpartition(b"\n")
            fresh += _parsed(whole + end, Path(str(file.name)).stem)
        _print(sorted((line for line in fresh if wanted.takes(line)), key=attrgetter("timestamp")))
        await asyncio.sleep(POLL_S)


def _print(lines: Iterable[LogLine]) -> None:
    terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        values = {name: readable(value) for name, value in line.members.items() if value not in (None, "")}
        shorts = shortened(values.values()) if terminal else {}
        about = "".join(f" {name}={shorts.get(value, value)}" for name, value in values.items())
        level = f"{line.level:<7}"
        if terminal and line.level in COLOURS:
            level = typer.style(level, fg=COLOURS[line.level])
        typer.echo(f"{line.timestamp[11:19] or '-':<8} {level} {line.process:<9} {line.event}{about}")
        for text in line.exception.splitlines():
            indent = " " * (len(text) - len(text.lstrip()))
            typer.echo(f"{'':<9}{indent}{printable(text)}")
    sys.stdout.flush()
