"""Whether the store accepts jobs, how full it is, and the concurrency on which its hosts agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from app.store import scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.readiness import durability_faults

HOST_STALE_MS = 15_000
FULL_BELOW_BYTES = (
    2**20
)  # with less free memory it is full: four of the largest submissions, hundreds of usual ones
FREE_ABOVE_BYTES = 2 * FULL_BELOW_BYTES  # a full store is full up to here, so that the answer does not flap
StoreHealth = Literal["ok", "full", "loading", "read-only", "without its replicas", "not able to save", "away"]
STATE_BY_ERROR: dict[str, StoreHealth] = {
    "LOADING": "loading",
    "Redis is loading": "loading",
    "NOREPLICAS": "without its replicas",
    "MISCONF": "not able to save",
}


@dataclass(frozen=True, slots=True)
class AgreedConcurrency:
    """How many jobs may be at fal in all, and the host whose setting is this low."""

    number: int
    host: str


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The store's server: its kind and version, bytes used and allowed (0: without a limit), its replicas."""

    kind: str
    version: str
    used: int
    maxmemory: int
    replicas: int


class HealthStore:
    """The store's own state."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._full = False

    async def state(self) -> StoreHealth:
        """`ok` when it accepts jobs, otherwise the reason. Never raises.

        A submission takes memory while the server reads it, so a store with little memory counts as full.
        """
        try:
            room = await scripts.check_writable(self._redis)
        except OutOfMemoryError:
            self._full = True
            return "full"
        except ReadOnlyError:
            return "read-only"
        except (RedisError, OSError, RuntimeError) as error:
            text = str(error).lstrip("-")
            return next((state for start, state in STATE_BY_ERROR.items() if text.startswith(start)), "away")
        self._full = room is not None and room < (FREE_ABOVE_BYTES if self._full else FULL_BELOW_BYTES)
        return "full" if self._full else "ok"

    async def facts(self) -> StoreFacts:
        """The server's version, memory and replicas."""
        with store_errors():
            server = await self._redis.info("server")
            memory = await self._redis.info("memory")
            replication = await self._redis.info("replication")
        kind = "valkey" if server.get("server_name") == "valkey" else "redis"
        return StoreFacts(
            kind=kind,
            version=str(server["valkey_version"] if kind == "valkey" else server["redis_version"]),
            used=int(memory["used_memory"]),
            maxmemory=int(memory.get("maxmemory", 0)),
            replicas=int(replication.get("connected_slaves", 0)),
        )

    async def fullness(self) -> float | None:
        """Used memory as a share of its limit, which may exceed 1; None without a limit."""
        with store_errors():
            memory = await self._redis.info("memory")
        counted, most = counted_memory(memory)
        return counted / most if most else None

    async def durability(self) -> list[str]:
        """What the store may lose, as its settings and its disk are now; one sentence each."""
        with store_errors():
            return await durability_faults(self._redis)

    async def agree_concurrency(self, host: str, number: int) -> AgreedConcurrency:
        """Report this host's FILMGATE_UPSTREAM_CONCURRENCY; the value that applies to all hosts."""
        with store_errors():
            number, limiting = await scripts.agree_concurrency(
                self._redis, host=host, number=number, alive_ms=HOST_STALE_MS
            )
        return AgreedConcurrency(number, limiting)


def counted_memory(info: Mapping[str, Any]) -> tuple[int, int]:
    """From a reply of INFO: the bytes that count against maxmemory, and maxmemory (0: no limit)."""
    counted = int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))
    return counted, int(info.get("maxmemory", 0))
