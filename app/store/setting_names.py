"""The settings of each version that has started on this store: an older one takes their names for no mistake."""

import re
from collections.abc import Iterable

from app.store import keys
from app.store.client import Client
from app.store.connection import store_errors

NUMBERS = re.compile(r"\d+(?:\.\d+)*")


class SettingNames:
    """A list for each version; each writes its own, so that no order of starts takes one away."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def note(self, version: str, names: Iterable[str]) -> None:
        """Write down what this version knows."""
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
    """`1.10.0` as numbers; what stands behind them, as in `1.10.0rc1`, makes no version newer."""
    found = NUMBERS.match(version)
    return tuple(map(int, found[0].split("."))) if found else ()
