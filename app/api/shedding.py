"""Requests that can be refused as they stand, before anything is begun for them.

The usual way through the server costs ten times as much, and who repeats without waiting would take that from the
others. What is not plain goes the usual way: here nobody may be in doubt about where a request ends, also no proxy.
"""

import re
from dataclasses import dataclass

PLAIN = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9/_.~:@-]*+)(?:\?[!-~]*+)? HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9-]++:[ -~\t]*+\r\n)++)\r\n"
)
LONGEST_HEAD = 4096  # bytes
LENGTH = b"\ncontent-length:"
LENGTH_DIGITS = 4  # of a body that is read past
UNUSUAL = (b"\norigin:", b"\ntransfer-encoding:", b"\nexpect:", b"\nupgrade:", b"\nx-fal-target-url:")


@dataclass(slots=True)
class Plain:
    """A head, `head` bytes long, behind which `body` bytes belong to it; `closes` where the caller is then done."""

    method: bytes
    path: bytes
    head: int
    body: int
    closes: bool


def plain(data: bytes) -> Plain | None:
    """The request whose head stands first in the data; None where it is not whole, not short or not plain.

    A page's request is not plain, because its answer names its origin, and one without a length has no body.
    """
    found = PLAIN.match(data, 0, LONGEST_HEAD)
    if found is None:
        return None
    fields = b"\n" + found[3].lower()
    for name in UNUSUAL:
        if name in fields:
            return None
    at = fields.find(LENGTH)
    length = b"0"
    if at >= 0:
        start = at + len(LENGTH)
        length = fields[start : fields.index(b"\r", start)].strip(b" \t")
        if not length.isdigit() or len(length) > LENGTH_DIGITS or LENGTH in fields[start:]:
            return None
    return Plain(found[1], found[2], found.end(), int(length), b"close" in fields)
