"""Counts of what a key has been issued and not used up: browser tokens, promised uploads."""

from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors


class OutstandingStore:
    """Counts by key."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def add(self, what: str, key: str, member: str, *, lifetime_ms: int, most: int) -> int | None:
        """Count one more until it expires; None when counted, else the time (ms) until one of `most` expires."""
        with store_errors():
            wait_ms = await scripts.count_outstanding(
                self._redis,
                outstanding=keys.outstanding(what, key),
                member=member,
                lifetime_ms=lifetime_ms,
                max=most,
            )
        return None if wait_ms < 0 else wait_ms

    async def end(self, what: str, key: str, member: str) -> None:
        """Stop counting one that is used up."""
        with store_errors():
            await self._redis.zrem(keys.outstanding(what, key), member)
