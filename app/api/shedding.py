"""Requests that can be refused as they stand, before anything is begun for them.

The usual way through the server costs ten times as much, and who repeats without waiting would take that from the
others. What is not plain goes the usual way: here nobody may be in doubt about where a request ends, also no proxy.
"""

import re
from dataclasses import dataclass

UNUSUAL = b"origin|transfer-encoding|expect|upgrade|x-fal-target-url"
FIELDS = rb"(?:(?!(?i:%b|content-length):)[A-Za-z0-9-]++:[ -~\t]*+\r\n)*+" % UNUSUAL
LENGTH = rb"(?i:content-length):[ \t]*+([0-9]{1,4})[ \t]*+\r\n"  # of a body that is read past
PLAIN = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9/_.~:@-]*+)(?:\?[!-~]*+)? HTTP/1\.1\r\n"
    rb"(%b(?:%b%b)?)\r\n" % (FIELDS, LENGTH, FIELDS)
)
LONGEST_HEAD = 4096  # bytes


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
    return Plain(found[1], found[2], found.end(), int(found[4] or 0), b"close" in found[3].lower())
