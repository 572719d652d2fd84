"""The setting names of each version that has used this store, so that an older one does not refuse newer names."""

import re
from collections.abc import Iterable

from app.store import keys
from app.store.client import Client
from app.store.connection import store_errors

NUMBERS = re.compile(r"\d+(?:\.\d+)*")


class SettingNames:
    """A list for each version, which only that version writes, so that the order of starts does not matter."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def note(self, version: str, names: Iterable[str]) -> None:
        """Write the names that this version knows."""
        with store_errors():
            await self._redis.hset(keys.SETTING_NAMES, version, " ".join(sorted(names)))

    async def newer_than(self, version: str) -> frozenset[str]:
        """Every name that a newer version knows."""
        with store_errors():
            lists = await self._redis.hgetall(keys.SETTING_NAMES)
        return frozenset(
            name for other, names in lists.items() if _order(other) > _order(version) for name in names.split()
        )


def _order(version: str) -> tuple[int, ...]:
    """`1.10.0` as numbers; a suffix as in `1.10.0rc1` does not count."""
    numbers = NUMBERS.match(version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
