"""Hostile receivers on real sockets, and a sender in its own process, whose memory is measured.

`python -m tests.integration.hostile.receivers SECONDS AUTHORITY` reads URLs, one a line, makes an attempt at each,
and prints the attempt with `rss_kb`, the peak memory of the process.
"""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import repeat

from app.egress import EgressPolicy
from app.webhooks.sender import Sender
from tests.support.bomb import gzip_bomb
from tests.support.memory import peak_kb
from tests.support.receiver import Receiver, Script
from tests.support.tcp_server import Writer

ATTEMPTS = 1000  # more than any test makes at one receiver
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TRAILER = b"x: y\r\n" * 9000
MEGABYTE = bytes(1_000_000)
NEWS = b"HTTP/1.1 103 Early Hints\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Hostile:
    """What a receiver does once it has the request, and the expected result: status, outcome, error.

    `slow` ones use up the whole time of an attempt; the others must end well before.
    """

    script: Script
    status: int | None
    outcome: str
    error: str | None
    slow: bool = False


def writes(
    first: bytes, *, then: bytes = b"", times: int | None = 0, pause: float = 0, ends: bool = False
) -> Script:
    """Write `first`, then `then` this many times (None: forever) with pauses, then wait or hang up."""

    async def script(writer: Writer) -> None:
        writer.write(first)
        for _ in repeat(None) if times is None else repeat(None, times):
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(pause)
        await writer.drain()
        if not ends:
            await asyncio.Event().wait()

    return script


async def gone(_: Writer) -> None:
    """Close the connection once the request is read."""


async def breaks_its_tls(writer: Writer) -> None:
    """Encrypted bytes that are no TLS record."""
    raw = writer.transport._ssl_protocol._transport  # type: ignore[attr-defined]  # there is no public way to lie
    raw.write(b"this is not a record of TLS")
    await asyncio.Event().wait()


BOMB = OK + b"Content-Encoding: gzip\r\n\r\n" + gzip_bomb(500)
HOSTILE: dict[str, Hostile] = {
    "1 GB": Hostile(writes(OK + b"\r\n", then=MEGABYTE, times=1000), 200, "delivered", None),
    "1 GB of failure": Hostile(writes(b"HTTP/1.1 500 No\r\n\r\n", then=MEGABYTE, times=1000), 500, "retry", None),
    "a promise of 1 TB": Hostile(
        writes(OK + b"Content-Length: 1000000000000\r\n\r\n", then=MEGABYTE, times=None), 200, "delivered", None
    ),
    "a gzip bomb": Hostile(writes(BOMB), 200, "delivered", None),
    "a byte in each chunk": Hostile(writes(CHUNKED, then=b"1\r\nx\r\n" * 9000, times=None), 200, "delivered", None),
    "an endless chunk size": Hostile(writes(CHUNKED, then=b"0" * 60_000, times=None), 200, "delivered", None),
    "endless trailers": Hostile(writes(CHUNKED + b"0\r\n", then=TRAILER, times=None), 200, "delivered", None),
    "a header of 1 MB": Hostile(writes(OK + b"x: " + MEGABYTE), None, "retry", "too_large"),
    "1 MB of headers": Hostile(writes(OK, then=b"x: y\r\n" * 1000, times=160), None, "retry", "too_large"),
    "an endless reason": Hostile(writes(b"HTTP/1.1 200 ", then=MEGABYTE, times=None), None, "retry", "too_large"),
    "endless 1xx": Hostile(writes(b"", then=NEWS * 1000, times=None), None, "retry", "too_large"),
    "1xx now and then": Hostile(writes(b"", then=NEWS, times=None, pause=0.1), None, "retry", "timeout", slow=True),
    "a byte of a header now and then": Hostile(
        writes(OK + b"x: ", then=b"x", times=None, pause=0.1), None, "retry", "timeout", slow=True
    ),
    "a byte of a body now and then": Hostile(
        writes(b"HTTP/1.1 500 No\r\n\r\n", then=b"x", times=None, pause=0.1), 500, "retry", "timeout", slow=True
    ),
    "no end": Hostile(writes(OK + b"\r\nfine"), 200, "delivered", None, slow=True),
    "no answer": Hostile(writes(b""), None, "retry", "timeout", slow=True),
    "no answer, and gone": Hostile(gone, None, "retry", "protocol"),
    "gone in the middle": Hostile(
        writes(OK + b"Content-Length: 9\r\n\r\nx", ends=True), 200, "delivered", None
    ),
    "no HTTP": Hostile(writes(b"-ERR unknown command\r\n\r\n"), None, "retry", "protocol"),
    "another protocol": Hostile(
        writes(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), None, "retry", "protocol"
    ),
    "two lengths": Hostile(
        writes(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), None, "retry", "protocol"
    ),
}  # fmt: skip
ENCRYPTED: dict[str, Hostile] = {
    "1 GB, encrypted": Hostile(writes(OK + b"\r\n", then=MEGABYTE, times=1000), 200, "delivered", None),
    "endless 1xx, encrypted": Hostile(writes(b"", then=NEWS * 1000, times=None), None, "retry", "too_large"),
    "no answer, encrypted": Hostile(writes(b""), None, "retry", "timeout", slow=True),
    "broken encryption": Hostile(breaks_its_tls, None, "retry", "tls"),
}


@asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of such a receiver."""
    async with Receiver(tls=tls) as server:
        server.answers([script] * ATTEMPTS)
        yield f"{server.url}/hook"


async def _attempts(seconds: float, authority: str) -> None:
    tls = ssl.create_default_context(cafile=authority)
    sender = Sender(EgressPolicy.parse("127.0.0.1"), total_timeout=seconds, tls=tls)
    while line := await asyncio.to_thread(sys.stdin.readline):
        now = datetime.fromtimestamp(time.time(), UTC)
        made = await sender.send(line.strip(), body=b"{}", signature={}, now=now)
        sys.stdout.write(json.dumps({**asdict(made), "rss_kb": await asyncio.to_thread(peak_kb)}) + "\n")
        sys.stdout.flush()
    await sender.aclose()


if __name__ == "__main__":
    asyncio.run(_attempts(float(sys.argv[1]), sys.argv[2]))
