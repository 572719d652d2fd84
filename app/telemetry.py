"""Logs: one line per request and per step, JSON unless stderr is a terminal.

What a line is about (trace, job, team, user, key, address) is said once, with `begin_about`, `about` or `note`, and
is in every line after it. Whatever else would write to stderr (uncaught exceptions, warnings, errors of libraries)
is a line of the same form.
"""

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, TextIO

import pydantic_core
import structlog

REDACTED = "[redacted]"


def _all_but_end(found: re.Match[str]) -> str:
    return found[1] + REDACTED


# Credentials, anywhere in a line: a text that each has, which few lines have; its form; and what replaces it.
# A prefix that is missing here fails tests/unit/test_telemetry.py.
SECRETS: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (text, re.compile(form), shown)
    for text, form, shown in (
        ("fg", r"fg_(?:live|tok|up|ses|code|inv|share)_[0-9A-Za-z_.]+", REDACTED),
        ("whsec_", r"whsec_[A-Za-z0-9+/=]+", REDACTED),
        ("ey ", r"(?<=[Kk]ey )[^\s\"']{8,}", REDACTED),
        ("token=", r"(?<=[?&]token=)[^&\s\"']+", REDACTED),
        ("signature=", r"(?<=[?&]signature=)[^&\s\"']+", REDACTED),
        ("://", r"(?<=://)[^\s/@\"']+(?=@)", REDACTED),  # user:password@
        # domain/upload_tokens.py:
        ("team_", r"team_[0-9a-f]{32}\.[a-z]{2,10}_[0-9a-f]{32}\.[0-9]{1,15}\.[0-9a-f]{32}", REDACTED),
        ("job_", r"(job_[0-9a-f]{32}[./][0-9a-f]{32}[./])[0-9a-f]{32}", _all_but_end),
        ("data:", r"data:[^,\s]{0,255};base64,[A-Za-z0-9+/=_%-]+", REDACTED),
    )
)

LONGEST_VALUE = 2000  # characters
LONGEST_TRACEBACK = 16_000  # characters, from the end, which names the error

_to_ascii = json.JSONEncoder(ensure_ascii=True, default=repr).encode  # `json.dumps` would make one for each line
_timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

# One variable for all names: structlog's own are one for each, and each line would search the whole context.
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)
_process: dict[str, str] = {}  # read for each line: a forked process has a name of its own

log = structlog.get_logger()


def begin_about(**names: Any) -> None:
    """The following lines of this task, and of those that it starts, are about this and nothing else."""
    _about.set(names)


@contextmanager
def about(**names: Any) -> Iterator[None]:
    """The lines in the block are about this too."""
    before = _about.set({**(_about.get() or {}), **names})
    try:
        yield
    finally:
        _about.reset(before)


def note(**names: Any) -> None:
    """The following lines of this request or step are about this too, but None; outside of one nothing happens."""
    known = _about.get()
    if known is not None:
        known.update({name: value for name, value in names.items() if value is not None})


def redact(text: str) -> str:
    """The text without keys, signing secrets, tokens and data URIs."""
    for part, form, shown in SECRETS:
        if part in text:
            text = form.sub(shown, text)
    return text


def _complete(_logger: Any, method: str, line: Any) -> Any:
    """What every line has; values are shortened, so that callers cannot fill the disk."""
    known = _about.get()
    level = "error" if method == "exception" else method
    line = {**_process, **known, **line, "level": level} if known else {**_process, **line, "level": level}
    line = _timestamp(_logger, method, line)
    if "exc_info" in line:
        line = structlog.processors.format_exc_info(_logger, method, line)
    for name, value in line.items():
        if type(value) is str and len(value) > LONGEST_VALUE:
            line[name] = value[-LONGEST_TRACEBACK:] if name == "exception" else value[:LONGEST_VALUE]
    return line


def _redact_values(_logger: Any, _name: str, line: Any) -> Any:
    return {name: redact(value) if isinstance(value, str) else value for name, value in line.items()}


def _redacted_json(_logger: Any, _name: str, line: Any) -> str:
    """One line of ASCII, so that values cannot control a terminal; redacted as a whole."""
    try:
        text = pydantic_core.to_json(line, fallback=repr)  # a quarter of the time of the standard library's
    except (ValueError, TypeError):  # a lone surrogate, a key that is no text
        text = b"\xff"
    return redact(text.decode() if text.isascii() else _to_ascii(line))


def _whole_lines() -> TextIO:
    """Stderr, with one write(2) for each line: processes share it, and lines in two parts would mix."""
    raw: Any = io.FileIO(sys.stderr.fileno(), "w", closefd=False)  # unbuffered: a buffer splits lines of over 8 KB
    return io.TextIOWrapper(raw, sys.stderr.encoding, "backslashreplace", write_through=True)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Lines of libraries."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """A record that cannot be formatted: logging would print a traceback."""
        log.error("log.unformattable", logger=record.name, exc_info=True)  # noqa: LOG014  logging calls it in one


def log_warnings_only() -> None:
    """For commands whose answer is their output: lines below a warning are left out from now on."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def set_up_logs(form: Literal["auto", "json", "text"], *, process: str) -> None:
    """Send every log line of this process to stderr; `process` names the role in each line."""
    lines = _whole_lines()
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    render: Any = structlog.dev.ConsoleRenderer() if as_text else _redacted_json
    shared: list[Any] = [_complete, _redact_values] if as_text else [_complete]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=lines),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    stream = _LineHandler(lines)
    stream.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(logging.WARNING)
    _about.set(None)
    _process["process"] = process
    _catch_the_rest()


def _soften(record: logging.LogRecord) -> bool:
    """A call that a stop cuts off is no error, as which uvicorn logs it."""
    if str(record.msg).startswith("Cancel %s running task"):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _catch_the_rest() -> None:
    """Nothing else writes to stderr: what Python would print there is a line too."""
    logging.getLogger("uvicorn.error").filters[:] = [_soften]
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_in_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log.error("process.failed", exc_info=(kind, error, trace))


def _log_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        thread = None if failure.thread is None else failure.thread.name
        log.error("thread.failed", thread=thread, exc_info=failure.exc_value)


def _log_unraisable(failure: "sys.UnraisableHookArgs") -> None:
    if failure.exc_value is not None:
        log.error("destructor.failed", where=repr(failure.object), exc_info=failure.exc_value)
