"""Heartbeats of worker processes, with the role of each."""

from collections.abc import Mapping

from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

HEARTBEAT_MS = 15_000


class HeartbeatStore:
    """All heartbeats, in one key."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def beat(self, name: str, *, role: str) -> None:
        """Record that the worker process `host:pid` with this role is alive."""
        await self._beat({name: role}, known=False)

    async def keep_beating(self, roles: Mapping[str, str]) -> set[str]:
        """Record that these processes are still alive, of those that have beaten before; the names of these."""
        return await self._beat(roles, known=True)

    async def forget(self, workers: Mapping[str, str]) -> None:
        """Remove the heartbeats of these processes, by name to role, which have ended."""
        with store_errors():
            if workers:
                await self._redis.zrem(keys.WORKERS, *(f"{role} {name}" for name, role in workers.items()))

    async def workers(self) -> dict[str, str]:
        """The worker processes that are alive, `host:pid` to role."""
        with store_errors():
            oldest = milliseconds(*await self._redis.time()) - HEARTBEAT_MS
            found = await self._redis.zrangebyscore(keys.WORKERS, oldest, "+inf")
        return {name: role for role, _, name in sorted(member.partition(" ") for member in found)}

    async def _beat(self, roles: Mapping[str, str], *, known: bool) -> set[str]:
        with store_errors():
            alive = await scripts.record_heartbeats(
                self._redis,
                only_known=known,
                alive_ms=HEARTBEAT_MS,
                rest=[f"{role} {name}" for name, role in roles.items()],
            )
        return {member.partition(" ")[2] for member in alive}
