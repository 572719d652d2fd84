"""Lanes: leases, so that one process at a time works through what is due."""

from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

ENQUEUED = "rung"
ENQUEUED_MS = 2000  # a lane stays idle for so long after a lost task; a late task may be enqueued twice
LEASE_MS = 2000


class LaneStore:
    """A lane is idle, enqueued, or leased to a slice by its token."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def mark_enqueued(self, lane: int) -> bool:
        """True when the lane had no live slice: the caller must enqueue one."""
        with store_errors():
            return bool(await self._redis.set(keys.lane(lane), ENQUEUED, nx=True, px=ENQUEUED_MS))

    async def left_s(self, lane: int) -> float:
        """Seconds until the present lease or mark ends, unless it is renewed."""
        with store_errors():
            return max(0, await self._redis.pttl(keys.lane(lane))) / 1000

    async def idle_s(self) -> float | None:
        """Seconds since a lane last ran; None when none ever ran on this store."""
        with store_errors():
            last_ms, now = await self._redis.get(keys.LAST_LANE), await self._redis.time()
        return None if last_ms is None else max(0, milliseconds(*now) - int(last_ms)) / 1000

    async def take(self, lane: int, token: str) -> bool:
        """Acquire the lane for a slice; False when another live slice has it."""
        with store_errors():
            if await self._change(lane, ENQUEUED, token, LEASE_MS):
                return True
            return bool(await self._redis.set(keys.lane(lane), token, nx=True, px=LEASE_MS))

    async def renew(self, lane: int, token: str) -> bool:
        """Renew the lease; False when it was lost."""
        with store_errors():
            return await self._change(lane, token, token, LEASE_MS)

    async def hand_over(self, lane: int, token: str) -> bool:
        """End the lease and mark the next slice as enqueued; True when the caller must enqueue it."""
        with store_errors():
            return await self._change(lane, token, ENQUEUED, ENQUEUED_MS)

    async def leave(self, lane: int, token: str) -> None:
        """End the lease at once, so that another process can take the lane."""
        with store_errors():
            await self._change(lane, token, ENQUEUED, 1)

    async def _change(self, lane: int, mine: str, following: str, lease_ms: int) -> bool:
        return await scripts.cas_lane(
            self._redis,
            lane=keys.lane(lane),
            expected=mine,
            new_token=following,
            lease_ms=lease_ms,
        )
