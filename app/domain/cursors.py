"""Cursors of lists: a place, which is a time (ms) and an id, as callers are given it and give it back."""

import base64
import re

from app.domain.errors import Code, Malformed

CURSOR = re.compile(r"([0-9]{1,15}):([a-z]{1,8}_[0-9a-f]{1,64})", re.ASCII)


def write_cursor(place: tuple[int, str]) -> str:
    """The place of the last one shown, as text for a URL."""
    return base64.urlsafe_b64encode(f"{place[0]}:{place[1]}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, *, kind: str) -> tuple[int, str]:
    """The place that a cursor names; Malformed when it names none, or an id of another `kind` (`job`, `msg`)."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    parts = CURSOR.fullmatch(text)
    if parts is None or not parts[2].startswith(f"{kind}_"):
        raise Malformed("The cursor is not one that this list gave out.", code=Code.INVALID_CURSOR)
    return int(parts[1]), parts[2]
