"""Requests that can be refused without the parser, and the bytes of the refusal.

The usual way through the server costs ten times as much, which callers who retry without waiting would take from
the others. Only a request on whose end every server and proxy agrees is read here; all others go the usual way.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.fal_errors import is_fal_path
from app.api.overload import TRACE, Kind, Refusal, kind_of

UNUSUAL = b"origin|transfer-encoding|expect|upgrade|x-fal-target-url"
FALS_HOST = rb"host:[ \t]*+(?:[a-z0-9.-]*\.)?(?:fal|falrun)\.(?:run|ai|media|com)"  # paths mean others there
FIELDS = rb"(?:(?!(?i:(?:%b|content-length):|%b))[A-Za-z0-9-]++:[ -~\t]*+\r\n)*+" % (UNUSUAL, FALS_HOST)
LENGTH = rb"(?i:content-length):[ \t]*+([0-9]{1,4})[ \t]*+\r\n"  # of a body that is skipped
PLAIN = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/[A-Za-z0-9/_.~:@-]*+)(?:\?[!-~]*+)? HTTP/1\.1\r\n"
    rb"(%b(?:%b%b)?)\r\n" % (FIELDS, LENGTH, FIELDS)
)
END = b"\r\n\r\n"
LONGEST_HEAD = 4096  # bytes
CACHED_HEADS = 512  # 2 MB at most
CACHED_REPLIES = 512

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PlainHead:
    """A head of `size` bytes, followed by a body of `body` bytes; `closes`: the caller's last request here."""

    kind: Kind | None
    fal: bool
    path: bytes
    size: int
    body: int
    closes: bool


def plain_head(data: bytes) -> PlainHead | None:
    """The head at the start of the data; None if it is incomplete, long or unusual.

    A web page's request is unusual, because its reply names its origin; one without a length has no body.
    """
    end = data.find(END, 0, LONGEST_HEAD)
    return _parsed(data[: end + len(END)]) if end > 0 else None


@lru_cache(CACHED_HEADS)
def _parsed(head: bytes) -> PlainHead | None:
    """Cached, because a client sends the same head again and again."""
    found = PLAIN.fullmatch(head)
    if found is None:
        return None
    method, path, fields, length = found.groups()
    text = path.decode("ascii")
    return PlainHead(
        kind=kind_of(method.decode("ascii"), text),
        fal=is_fal_path(text),
        path=path,
        size=len(head),
        body=int(length or 0),
        closes=b"close" in fields.lower(),
    )


@lru_cache(CACHED_REPLIES)
def raw_refusal(refusal: Refusal, path: bytes, closes: bool, *fields: Field) -> list[bytes]:  # noqa: FBT001  part of a cache's key
    """The whole reply with the server's own fields, split where the trace id of 32 characters goes."""
    status, headers, body = refusal.reply(path.decode("ascii"), TRACE)
    closing = [(b"connection", b"close")] if closes else []
    return b"".join([STATUS_LINE[status], field_lines([*fields, *closing, *headers]), b"\r\n", body]).split(TRACE)


def field_lines(fields: list[Field]) -> bytes:
    """Header fields as they are sent."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
