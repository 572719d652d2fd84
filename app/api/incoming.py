"""Request bodies: how fast they must arrive, and how many bytes of them are kept at once.

A body is kept in memory until its request is done. So the bytes of all bodies are bounded: for each key; for each
address without one, and for all of those together, fal's webhooks apart from people who sign in; for the process. A
declared length is reserved before the first byte is read; without one, each piece is as it arrives. If there is no
room, the caller gets 503 and `Retry-After`.

A video or a sound may be larger, and is written to the disk as it arrives (`spill`), where the bytes are bounded in
the same way.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope

from app.domain.errors import FilmgateError, TooLarge, TooSlow, Unavailable

MB = 1024 * 1024
JSON_LIMIT = 8 * MB  # bytes; a data URI of a 6 MB image fits
SMALL_LIMIT = 32 * 1024  # of those who have no key yet
PLAIN_LIMIT = 256 * 1024  # where no image belongs, and fal's own webhooks: a few KB each
FILE_LIMIT = 31 * MB  # a 30 MB image and its multipart frame; the most that is kept in memory
MEDIA_LIMIT = 301 * MB  # a video of 300 MB and its frame
LIMIT_NAMES = {  # without the frame
    SMALL_LIMIT: "32 KB",
    PLAIN_LIMIT: "256 KB",
    JSON_LIMIT: "8 MB",
    FILE_LIMIT: "30 MB",
    MEDIA_LIMIT: "300 MB",
}
OF_FAL = "/fal/hooks/"
BEFORE_A_KEY = ("/v1/session", "/v1/sign-in/", "/v1/invitations/")
STRANGER = "-"  # begins the payer of a body without a key: `-KIND ADDRESS`
ADDRESSES = 4  # that together take all that is kept for those without a key
WITH_IMAGES = ("/v1/jobs", "/v1/quotes")
RETRY_AFTER_S = 5  # a body of 8 MB is here after a second or two
PAYER = "payer"  # of the scope: the key on whose account this body is kept; absent until a caller is known
INCOMING = "incoming"  # of the scope: the request's own Incoming
# Of the scope, by our own server: true when the whole body was here before the request began; nothing waits for it.
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a body must arrive: at most `pause_s` between two pieces, and on average after `grace_s`.

    No real connection is as slow as `bytes_per_s`; a slower caller only wants to keep it open.
    """

    pause_s: float = 20.0
    grace_s: float = 20.0
    bytes_per_s: float = 4096.0


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Bytes of bodies that may be kept at once: of one key, of all without a key (of each kind), of everybody."""

    of_one: int = 64 * MB  # two files at their largest, eight bodies with an image in each
    of_nobody: int = 4 * MB  # fal's webhooks, and as much for people who sign in; nobody else sends one
    of_all: int = 192 * MB


ON_DISK = BodyLimit(of_one=640 * MB, of_nobody=0, of_all=2048 * MB)  # two files at their largest, and six


class Bodies:
    """What is kept of all bodies in this process."""

    def __init__(self, room: BodyLimit) -> None:
        self._room = room
        self._of: Counter[str] = Counter()
        self._all = 0

    def take(self, payer: str, size: int) -> None:
        """Reserve `size` bytes for the payer; Unavailable if there is no room for them."""
        kind = _kind_of(payer)
        most = self._room.of_nobody // ADDRESSES if kind else self._room.of_one
        if self._of[payer] + size > most:
            whose = "address" if kind else "key"
            raise Unavailable(
                f"Other bodies of this {whose} are still being read; send this one when they are done.",
                retry_after=RETRY_AFTER_S,
            )
        if (kind and self._of[kind] + size > self._room.of_nobody) or self._all + size > self._room.of_all:
            raise Unavailable("Too many bodies are being read at the moment.", retry_after=RETRY_AFTER_S)
        self._add(payer, kind, size)

    def give_back(self, payer: str, size: int) -> None:
        """Free `size` bytes of the payer's."""
        self._add(payer, _kind_of(payer), -size)

    def _add(self, payer: str, kind: str, size: int) -> None:
        self._all += size
        for name in filter(None, (payer, kind)):
            self._of[name] += size
            if not self._of[name]:
                del self._of[name]


class Incoming:
    """One request's body: its pieces, up to the limit and at the required pace.

    `refused` is true after a piece was refused: the rest is not read.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        bodies: Bodies,
        pace: Pace,
        declared: int,
        on_disk: Bodies | None = None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._bodies = bodies
        self._on_disk = on_disk or Bodies(ON_DISK)
        self._pace = pace
        self._limit = min(limit_of(scope["path"]), FILE_LIMIT)
        self._declared = declared
        self._payer = ""
        self._kept = 0
        self._read = 0
        self._waited = 0.0
        self._complete = False
        self._gone = False
        self.refused = False

    async def receive(self) -> Message:
        """The next message of the connection."""
        if self._complete:
            return await self._receive()  # waits for the caller to disconnect while a reply is streamed
        try:
            if not self._kept:
                self._payer = payer_of(self._scope)
                self._keep(self._declared if self._declared <= self._limit else 0)
            message = await self._piece()
            self._read += len(message.get("body", b""))
            if self._read > self._limit:
                raise too_large(self._limit)
            self._keep(self._read - self._kept)
        except FilmgateError:
            self.refused = True
            raise
        self._complete = not message.get("more_body", False)
        return message

    def require_small(self) -> None:
        """TooLarge when the declared length is more than may be kept in memory."""
        if self._declared > FILE_LIMIT:
            self.refused = True
            raise too_large(FILE_LIMIT)

    def spill(self) -> None:
        """From here on the pieces are written to the disk, and may be more; Unavailable when there is no room."""
        kept = self._kept
        self.let_go()
        self._payer = payer_of(self._scope)
        self._gone, self._bodies, self._limit = False, self._on_disk, limit_of(self._scope["path"])
        try:
            self._keep(max(kept, self._read, self._declared))
        except Unavailable:
            self.refused = True
            raise

    def let_go(self) -> None:
        """The body is no longer kept."""
        self._gone = True
        if self._kept:
            self._bodies.give_back(self._payer, self._kept)
            self._kept = 0

    def _keep(self, size: int) -> None:
        if size > 0 and not self._gone:
            self._bodies.take(self._payer, size)
            self._kept += size

    async def _piece(self) -> Message:
        """The next piece, if it comes in time; only time spent on waiting counts."""
        if WHOLE in self._scope:
            return await self._receive()
        clock, pace = asyncio.get_running_loop().time, self._pace
        began = clock()
        left = pace.grace_s + self._read / pace.bytes_per_s - self._waited
        try:
            async with asyncio.timeout(max(0.0, min(pace.pause_s, left))):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("The body stopped coming, or came too slowly.") from None
        self._waited += clock() - began
        return message


def payer_of(scope: Scope) -> str:
    """On whose account the body is kept: a key, or an address without one."""
    client = scope.get("client")
    kind = "fal" if scope["path"].startswith(OF_FAL) else "people"
    return scope.get(PAYER) or f"{STRANGER}{kind} {client[0] if client else ''}"


def _kind_of(payer: str) -> str:
    """The kind of those without a key, to which all of them add; "" for a key."""
    return payer.partition(" ")[0] if payer.startswith(STRANGER) else ""


def limit_of(path: str) -> int:
    """Bytes that a body at this path may have."""
    if path.startswith(BEFORE_A_KEY):
        return SMALL_LIMIT
    if path == "/v1/files" or path.startswith("/fal/cdn/"):
        return MEDIA_LIMIT
    return JSON_LIMIT if path in WITH_IMAGES or path.startswith(("/fal/queue/", "/fal/run/")) else PLAIN_LIMIT


def too_large(limit: int) -> TooLarge:
    """The refusal of a body beyond the limit."""
    advice = " Upload the files first, and send their addresses." if limit == JSON_LIMIT else ""
    return TooLarge(f"The body is larger than {LIMIT_NAMES[limit]}, the most this route reads.{advice}")
