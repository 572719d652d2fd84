"""Logs: one line per request and per step, JSON unless stderr is a terminal."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

import structlog

REDACTED = "[redacted]"


def _all_but_end(found: re.Match[str]) -> str:
    return found[1] + REDACTED


# Credentials, anywhere in a line: a text that each has, which few lines have; its form; and what replaces it.
# A prefix that is missing here fails tests/unit/test_telemetry.py.
SECRETS: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (text, re.compile(form), shown)
    for text, form, shown in (
        ("fg", r"fg_(?:live|tok|up)_[0-9A-Za-z_.]+", REDACTED),
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

_to_json = json.JSONEncoder(ensure_ascii=True, default=repr).encode  # `json.dumps` would make one for each line


def _cut_values(_logger: Any, _name: str, line: Any) -> Any:
    """Shorten values, so that callers cannot fill the disk."""
    for name, value in line.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            line[name] = value[-LONGEST_TRACEBACK:] if name == "exception" else value[:LONGEST_VALUE]
    return line


def redact(text: str) -> str:
    """The text without keys, signing secrets, tokens and data URIs."""
    for part, form, shown in SECRETS:
        if part in text:
            text = form.sub(shown, text)
    return text


def _redact_values(_logger: Any, _name: str, line: Any) -> Any:
    return {name: redact(value) if isinstance(value, str) else value for name, value in line.items()}


def _redacted_json(_logger: Any, _name: str, line: Any) -> str:
    """One line of ASCII, so that values cannot control a terminal; redacted as a whole."""
    return redact(_to_json(line))


def _whole_lines() -> TextIO:
    """Stderr, with one write(2) for each line: processes share it, and lines in two parts would mix."""
    raw: Any = io.FileIO(sys.stderr.fileno(), "w", closefd=False)  # unbuffered: a buffer splits lines of over 8 KB
    return io.TextIOWrapper(raw, sys.stderr.encoding, "backslashreplace", write_through=True)


def set_up_logs(form: Literal["auto", "json", "text"], *, process: str) -> None:
    """Send every log line of this process to stderr; `process` names the role in each line."""
    lines = _whole_lines()
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    render: Any = structlog.dev.ConsoleRenderer() if as_text else _redacted_json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _cut_values,
        *([_redact_values] if as_text else []),
    ]
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
    stream = logging.StreamHandler(lines)
    stream.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
