"""Can the store take a job now, how full is it, and what have its hosts agreed on?"""

from dataclasses import dataclass
from typing import Literal

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors

HOST_STALE_MS = 15_000
SPARE_BYTES = 2**20  # four of the largest submissions at once, hundreds of usual ones: with less, it counts as full
AGAIN_BYTES = 2 * SPARE_BYTES  # and with so many no more, so that the answer does not go to and fro
StoreHealth = Literal["ok", "full", "loading", "read-only", "without its replicas", "not able to save", "away"]
WORDS: dict[str, StoreHealth] = {
    "LOADING": "loading",
    "Redis is loading": "loading",
    "NOREPLICAS": "without its replicas",
    "MISCONF": "not able to save",
}


@dataclass(frozen=True, slots=True)
class AgreedConcurrency:
    """How many jobs may be at fal in all, and the host that was given so few."""

    number: int
    host: str


class HealthStore:
    """Asks the store about itself."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._full = False

    async def state(self) -> StoreHealth:
        """Whether it takes jobs; else why not. Never raises.

        A submission counts as memory while the server reads it, so one is refused before a small question is.
        """
        try:
            room = await scripts.check_writable(self._redis)
        except OutOfMemoryError:
            self._full = True
            return "full"
        except ReadOnlyError:
            return "read-only"
        except (RedisError, OSError, RuntimeError) as error:
            found = (word for start, word in WORDS.items() if str(error).lstrip("-").startswith(start))
            return next(found, "away")
        self._full = room is not None and room < (AGAIN_BYTES if self._full else SPARE_BYTES)
        return "full" if self._full else "ok"

    async def fullness(self) -> float | None:
        """Which share of the memory that it may use is used, up to 1 and beyond; None where it has no limit."""
        with store_errors():
            memory = await self._redis.info("memory")
        most = int(memory.get("maxmemory", 0))
        counted = int(memory["used_memory"]) - int(memory.get("mem_not_counted_for_evict", 0))
        return counted / most if most else None

    async def agree_concurrency(self, host: str, number: int) -> AgreedConcurrency:
        """Say what this host was given as FILMGATE_UPSTREAM_CONCURRENCY; what holds for all."""
        with store_errors():
            number, limiting = await scripts.agree_concurrency(
                self._redis, concurrency=keys.CONCURRENCY, host=host, number=number, alive_ms=HOST_STALE_MS
            )
        return AgreedConcurrency(number, limiting)
