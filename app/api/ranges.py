"""Which bytes of a file a request asks for: conditions and one range (RFC 9110, 13 and 14)."""

import re
from email.utils import formatdate

from starlette.datastructures import Headers

_RANGE = re.compile(r"bytes=\s*([0-9]{0,15})\s*-\s*([0-9]{0,15})\s*", re.ASCII | re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


def http_date(at_ms: int) -> str:
    """A time (Unix milliseconds) as in `Last-Modified`."""
    return formatdate(at_ms // 1000, usegmt=True)


def is_unchanged(headers: Headers, etag: str) -> bool:
    """True when the caller has this version already: `If-None-Match` names it."""
    given = headers.get("if-none-match")
    return given is not None and (given.strip() == "*" or etag in _ETAG.findall(given))


def part_of(headers: Headers, size: int, *, etag: str, modified: str) -> tuple[int, int] | None:
    """First byte and length of the part that is asked for; None for the whole file. IndexError behind its end.

    Several ranges, a unit that is none and a part of another version (`If-Range`) are answered with the whole file.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag) not in {etag, modified}:
        return None
    first, last = found.groups()
    if not first:
        if not last:
            return None
        length = min(int(last), size)
        if length == 0:
            raise IndexError
        return size - length, length
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise IndexError
    end = min(int(last) + 1, size) if last else size
    return int(first), end - int(first)
