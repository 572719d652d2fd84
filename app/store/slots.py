"""Slots at fal: granting them to jobs in line."""

from app.store import scripts
from app.store.client import Client
from app.store.connection import store_errors

GRANT_MS = 90_000  # a grant that is not claimed expires
GRANTS_AT_ONCE = 100
QUIET_MS = 15_000  # without a 429 of fal's, until the number of slots is raised by one


class SlotStore:
    """Grants slots, up to `concurrency` or the lowest setting of all hosts."""

    def __init__(self, redis: Client, *, concurrency: int) -> None:
        self._redis = redis
        self._concurrency = concurrency

    async def grant(self) -> int:
        """Grant free slots to the first in line; how many were granted."""
        with store_errors():
            return await scripts.grant_slots(
                self._redis,
                own_concurrency=self._concurrency,
                grant_ms=GRANT_MS,
                quiet_ms=QUIET_MS,
                limit=GRANTS_AT_ONCE,
            )
