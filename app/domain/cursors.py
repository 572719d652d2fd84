"""Cursors of lists: the time (ms) and the id of the last item shown, as opaque text."""

import base64
import re

from app.domain.errors import Code, Malformed

CURSOR = re.compile(r"([0-9]{1,15}):([a-z]{1,8}_[0-9a-f]{1,64})", re.ASCII)


def write_cursor(last: tuple[int, str]) -> str:
    """The cursor after this item (time in ms, id), as text for a URL."""
    return base64.urlsafe_b64encode(f"{last[0]}:{last[1]}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, *, kind: str) -> tuple[int, str]:
    """Time and id of a cursor; Malformed when it is none, or its id is of another `kind`: `job`, `msg`, `share`."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except ValueError:
        text = ""
    parts = CURSOR.fullmatch(text)
    if parts is None or not parts[2].startswith(f"{kind}_"):
        raise Malformed("The cursor is not one that this list gave out.", code=Code.INVALID_CURSOR)
    return int(parts[1]), parts[2]
