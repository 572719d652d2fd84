"""Parsers of command line values: limits, durations, amounts of money, names and ids."""

import getpass
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import typer

from app.domain.errors import FilmgateError
from app.domain.events import EVENT_TYPES
from app.domain.limits import UNITS, Limit, Unit, Window
from app.domain.moments import read_moment
from app.domain.money import parse_usd

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"([0-9]{1,10})([smhd]?)")
COUNT = re.compile(r"[0-9]{1,10}")
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_NAME_LENGTH = 100  # characters
MAX_REASON_LENGTH = 500
MAX_QUOTED = 60  # characters of a wrong value in its error
EXAMPLE = "usd/day=50.00, jobs/concurrent=4 or submits/minute=30"
LIMIT_USAGE = f"write UNIT/WINDOW=AMOUNT, such as {EXAMPLE}."
ZERO_AMOUNT = "An amount of nothing changes nothing."
WINDOWS_OF = "; ".join(
    f"{unit}: {', '.join(window for window in Window if unit in UNITS[window])}" for unit in Unit
)
SPEC_HELP = f"A limit, UNIT/WINDOW=AMOUNT, such as {EXAMPLE}. Windows by unit: {WINDOWS_OF}."

Value = TypeVar("Value")


def argument(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A parser for typer: its ValueError becomes wrong usage with the same sentence."""

    def read(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return read


def parse_limit(text: str) -> Limit:
    """`usd/day=50.00` as a limit; ValueError with examples."""
    name, _, amount = text.partition("=")
    unit_word, _, window_word = name.partition("/")
    try:
        unit, window = Unit(unit_word), Window(window_word)
        micro_or_count = parse_usd(amount) if unit is Unit.USD else _count(amount)
        return Limit(unit, window, micro_or_count)
    except ValueError as error:
        raise ValueError(
            f"{_quoted(text)} is no limit: {_why(error, unit_word, window_word, given=amount)}; {LIMIT_USAGE}"
        ) from None


def _why(error: ValueError, unit: str, window: str, *, given: str) -> str:
    """The first fault, with the allowed words."""
    if unit not in set(Unit):
        return f"the units are {', '.join(Unit)}"
    if window not in set(Window):
        return f"the windows are {', '.join(Window)}"
    if not given:
        return "the amount is missing"
    sentence = str(error)
    return sentence[0].lower() + sentence[1:]


def _count(text: str) -> int:
    if not COUNT.fullmatch(text):
        raise ValueError("the amount is a whole number")
    return int(text)


def duration(least: int, most: int) -> Callable[[str], int]:
    """A parser of `90`, `90s`, `15m`, `12h` or `30d` as seconds within bounds, else ValueError."""

    def read(text: str) -> int:
        parts = DURATION.fullmatch(text)
        seconds = int(parts[1]) * SECONDS[parts[2]] if parts else -1
        if not least <= seconds <= most:
            bounds = f"between {_as_duration(least)} and {_as_duration(most)}"
            raise ValueError(f"{_quoted(text)} is no duration {bounds}, such as 90, 90s, 15m, 12h or 30d.")
        return seconds

    return read


def _as_duration(seconds: int) -> str:
    """In the largest unit that fits: `7d`, `1m`, `0`."""
    units = (unit for unit in "dhms" if seconds and seconds % SECONDS[unit] == 0)
    unit = next(units, "")
    return f"{seconds // SECONDS[unit]}{unit}"


def parse_signed_usd(text: str) -> int:
    """Micro-dollars of `12.50` or `-12.50`; ValueError for anything else, and for zero."""
    if text.startswith("-"):
        return -parse_credit(text.removeprefix("-"))
    return parse_credit(text.removeprefix("+"))


def parse_credit(text: str) -> int:
    """Micro-dollars of `12.50`; ValueError for anything else, and for zero."""
    micro = parse_usd(text)
    if micro == 0:
        raise ValueError(ZERO_AMOUNT)
    return micro


def parse_moment(text: str) -> str:
    """A day or a time as usage reports take it, else ValueError; its time zone is decided later."""
    try:
        read_moment("from", text, "UTC")
    except FilmgateError:
        raise ValueError(
            f"{_quoted(text)} is no day or time, such as 2026-11-01 or 2026-11-01T12:00:00Z."
        ) from None
    return text


def parse_event_types(given: Sequence[str] | None) -> list[str] | None:
    """The event types in these lists; wrong usage for an unknown one."""
    names = [name.strip() for text in given or () for name in text.split(",")]
    for name in names:
        if name not in EVENT_TYPES:
            raise typer.BadParameter(f"{name[:60]!r} is no event type; they are {', '.join(EVENT_TYPES)}.")
    return list(dict.fromkeys(names)) or None


def parse_id(text: str) -> str:
    """An id of Filmgate's form, else ValueError."""
    if not ID.fullmatch(text):
        raise ValueError(f"{_quoted(text)} is no id, such as key_5f0c…: lists show them, as `filmgate keys list`.")
    return text


def parse_request_id(text: str) -> str:
    """A request id of fal's form, else ValueError."""
    if not ID.fullmatch(text):
        raise ValueError(f"{_quoted(text)} is no request id of fal's: letters, digits, - and _ only.")
    return text


def parse_name(text: str) -> str:
    """A name of 1 to 100 printable characters."""
    return _line(text, MAX_NAME_LENGTH, "A name")


def parse_reason(text: str) -> str:
    """A reason of 1 to 500 printable characters."""
    return _line(text, MAX_REASON_LENGTH, "A reason")


def _line(text: str, longest: int, what: str) -> str:
    line = text.strip()
    if not (line and line.isprintable() and len(line) <= longest):
        raise ValueError(f"{what} is 1 to {longest} printable characters on one line.")
    return line


def _quoted(text: str) -> str:
    """A wrong value for an error: shortened, without control characters."""
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…")


def actor() -> str:
    """The actor for the audit log: `cli:` and the login name on this machine."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # neither a variable nor the user database has it
        name = ""
    return f"cli:{name if name and name.isprintable() else 'unknown'}"
