"""Which worker processes are alive, and what each works on."""

from collections.abc import Mapping

from app.store import keys, scripts
from app.store.client import Client
from app.store.clock import milliseconds
from app.store.connection import store_errors

HEARTBEAT_MS = 15_000


class HeartbeatStore:
    """Heartbeats, all of them in one key."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def beat(self, name: str, *, role: str) -> None:
        """Say that a worker process, `host:pid`, is alive, and what it works on."""
        await self._beat({name: role}, known=False)

    async def keep_beating(self, roles: Mapping[str, str]) -> set[str]:
        """Say that processes which reported for work are still alive; those that are known, others stay unknown."""
        return await self._beat(roles, known=True)

    async def workers(self) -> dict[str, str]:
        """The worker processes that are alive, `host:pid` to their role. Reads one key, however many there are."""
        with store_errors():
            oldest = milliseconds(*await self._redis.time()) - HEARTBEAT_MS
            found = await self._redis.zrangebyscore(keys.WORKERS, oldest, "+inf")
        return {name: role for role, _, name in sorted(member.partition(" ") for member in found)}

    async def _beat(self, roles: Mapping[str, str], *, known: bool) -> set[str]:
        with store_errors():
            alive = await scripts.record_heartbeats(
                self._redis,
                workers=keys.WORKERS,
                only_known=known,
                alive_ms=HEARTBEAT_MS,
                rest=[f"{role} {name}" for name, role in roles.items()],
            )
        return {member.partition(" ")[2] for member in alive}
