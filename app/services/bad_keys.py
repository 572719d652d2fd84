"""Keys that open nothing, by the address they come from: so many at once, then at an even pace."""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

from app.domain.errors import TooManyBadKeys

BURST = 240  # a client with an old key has shown it that often before somebody looks
PACE_S = 0.5  # afterwards one each
MAX_ADDRESSES = 10_000  # that are remembered; the longest quiet goes first
SITE = 64  # bits of an IPv6 address that are one customer's
BATCH_S = 0.05  # that a doubted key waits for others, to be looked up with them


class BadKeyThrottle:
    """Counts bad keys in this process. A good key of ours is never refused: it is looked up in any case."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, float] = OrderedDict()  # when an address's next would be due at an even pace

    def exceeded(self, address: str) -> bool:
        """True when this address has shown too many."""
        return self._wait(address) > 0

    def require_room(self, address: str) -> None:
        """TooManyBadKeys when this address has shown too many; before a key is compared that can be guessed."""
        wait = self._wait(address)
        if wait > 0:
            raise TooManyBadKeys(retry_after=max(1, math.ceil(wait)))

    def note(self, address: str) -> None:
        """A key from this address opened nothing; TooManyBadKeys when it was one too many, which is not counted."""
        self.require_room(address)
        site = _site(address)
        self._next[site] = max(self._next.get(site, 0.0), time.monotonic()) + PACE_S
        self._next.move_to_end(site)
        if len(self._next) > MAX_ADDRESSES:
            self._next.popitem(last=False)

    def _wait(self, address: str) -> float:
        """Seconds until this address may show one more; 0 or less when it may now."""
        return self._next.get(_site(address), 0.0) - time.monotonic() - (BURST - 1) * PACE_S


class BatchLookup:
    """Keys from addresses that have shown too many bad ones: whether they open nothing is asked for all together.

    Only the store can tell which is good, and a good one must not stand in line behind the bad ones of its address.
    So each waits a moment, and the store has one call for all of them, however many there are.
    """

    def __init__(self, closed: Callable[[Mapping[str, bool]], Awaitable[list[str]]]) -> None:
        """`closed` says which digests, of keys and of tokens (True), open nothing."""
        self._closed = closed
        self._asked: dict[str, bool] = {}
        self._asking: asyncio.Task[set[str]] | None = None

    async def opens_nothing(self, digest: str, *, token: bool) -> bool:
        """True for a key that the store does not know, or no more."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_read)
        self._asked[digest] = token
        return digest in await asyncio.shield(self._asking)  # who leaves does not take the others along

    async def _ask(self) -> set[str]:
        await asyncio.sleep(BATCH_S)
        asked, self._asked, self._asking = self._asked, {}, None
        return set(await self._closed(asked))


def _read(task: asyncio.Task[set[str]]) -> None:
    """Look at the outcome, so that asyncio does not report an error for which nobody waits any more."""
    if not task.cancelled():
        task.exception()


def _site(address: str) -> str:
    """The address; of IPv6 the network that one customer has."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.IPv6Network((int(parsed), SITE), strict=False))
