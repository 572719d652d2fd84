"""Slows down bad keys by address: a burst is allowed, then an even pace."""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache

from app.domain.errors import TooManyBadKeys

BURST = 240  # a client polling with an old key needs that many before somebody notices
PACE_S = 0.5  # between two bad keys after the burst
MAX_ADDRESSES = 10_000  # kept; the one that was quiet for longest is dropped first
SITE_BITS = 64  # of an IPv6 address: one customer's network
BATCH_S = 0.05  # a batched key waits so long for others


class BadKeyThrottle:
    """Counts this process's bad keys by address. A valid key is never refused because of it."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, float] = OrderedDict()  # by site: when its next bad key keeps the pace

    def exceeded(self, address: str) -> bool:
        """True when this address has sent too many."""
        return self._wait(address) > 0

    def require_room(self, address: str) -> None:
        """TooManyBadKeys when this address has sent too many; to be called before comparing a guessable key."""
        wait = self._wait(address)
        if wait > 0:
            raise TooManyBadKeys(retry_after=max(1, math.ceil(wait)))

    def note(self, address: str) -> None:
        """Count a bad key; TooManyBadKeys, uncounted, when the address has sent too many."""
        self.require_room(address)
        site = _site(address)
        self._next[site] = max(self._next.get(site, 0.0), time.monotonic()) + PACE_S
        self._next.move_to_end(site)
        if len(self._next) > MAX_ADDRESSES:
            self._next.popitem(last=False)

    def _wait(self, address: str) -> float:
        """Seconds until this address may send one more; 0 or less when it may now."""
        return self._next.get(_site(address), 0.0) - time.monotonic() - (BURST - 1) * PACE_S


class BatchLookup:
    """Looks up keys from throttled addresses in batches, one call of the store for all that arrive within BATCH_S.

    Only the store knows which of them is valid, and that one must not queue behind the bad ones of its address.
    """

    def __init__(self, closed: Callable[[Mapping[str, bool]], Awaitable[list[str]]]) -> None:
        """`closed` returns the digests, of keys (False) and tokens (True), that are no longer valid."""
        self._closed = closed
        self._waiting: dict[str, bool] = {}
        self._batch: asyncio.Task[set[str]] | None = None

    async def is_closed(self, digest: str, *, token: bool) -> bool:
        """True for a key that is unknown, revoked or expired."""
        if self._batch is None:
            self._batch = asyncio.create_task(self._read_batch())
            self._batch.add_done_callback(_retrieve)
        self._waiting[digest] = token
        return digest in await asyncio.shield(self._batch)  # a caller that leaves must not cancel the others

    async def _read_batch(self) -> set[str]:
        await asyncio.sleep(BATCH_S)
        digests, self._waiting, self._batch = self._waiting, {}, None
        return set(await self._closed(digests))


def _retrieve(task: asyncio.Task[set[str]]) -> None:
    """Retrieve the error, so that asyncio does not report it when every caller has left."""
    if not task.cancelled():
        task.exception()


@lru_cache(maxsize=1024)  # every request asks
def _site(address: str) -> str:
    """An IPv4 address, or the network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.IPv6Network((int(parsed), SITE_BITS), strict=False))
