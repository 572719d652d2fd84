"""Leases by which one process does for all hosts what must be done once."""

from app.domain.ids import new_nonce
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors


class LeaseStore:
    """The leases that this process may have; another process takes over when one is not renewed."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._token = new_nonce()

    async def take(self, name: str, *, ms: int) -> bool:
        """Take or renew the lease for so long; False when another process has it.

        When it returns True, at least two thirds of that are left. It may be asked often: it writes once a third.
        """
        with store_errors():
            return await scripts.take_lease(self._redis, lease=keys.lease(name), token=self._token, lease_ms=ms)

    async def has_holder(self, name: str) -> bool:
        """True while some process has the lease."""
        with store_errors():
            return await self._redis.get(keys.lease(name)) is not None

    async def leave(self, name: str) -> None:
        """End the lease at once, if this process has it."""
        await self.take(name, ms=0)
