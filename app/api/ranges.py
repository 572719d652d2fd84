"""Which bytes of a file a request asks for: conditions and one range (RFC 9110, 13 and 14)."""

import re
from email.utils import formatdate

from starlette.datastructures import Headers

_RANGE = re.compile(r"bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.ASCII | re.IGNORECASE)
_DIGITS = 15  # of a number that is read; one with more is behind the end of every file
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
    first, last = (_number(text) for text in found.groups())
    if first is None:
        if last is None:
            return None
        length = min(last, size)
        if length == 0:
            raise IndexError
        return size - length, length
    if last is not None and last < first:
        return None
    if first >= size:
        raise IndexError
    end = size if last is None else min(last + 1, size)
    return first, end - first


def _number(digits: str) -> int | None:
    """The number, at most 10 ** _DIGITS; None without a digit."""
    if not digits:
        return None
    significant = digits.lstrip("0")
    return 10**_DIGITS if len(significant) > _DIGITS else int(significant or "0")
