"""Alarms about the store: its memory is nearly full, or it may lose what it has acknowledged."""

from app.services.checks.finding import Finding
from app.store.health import HealthStore

MEMORY_LEVELS = (0.8, 0.9, 1.0)
MEMORY_FREE = 0.75  # below it the alarm is over


class StoreCheck:
    """Looks at the store's memory and durability.

    `strict`: it must be durable, because submissions cost money. Otherwise only what has become worse since this
    process began is a fault: the start has warned of the rest.
    """

    def __init__(self, health: HealthStore, *, strict: bool) -> None:
        self.kinds = frozenset({"store_memory", "store_not_durable"})
        self.every_s = 5.0
        self._health = health
        self._accepted: frozenset[str] | None = frozenset() if strict else None
        self._memory: list[Finding] = []

    async def findings(self) -> list[Finding]:
        """All that holds now."""
        return [*await self._fullness(), *await self._durability()]

    async def _fullness(self) -> list[Finding]:
        share = await self._health.fullness()
        level = 0 if share is None else sum(share >= one for one in MEMORY_LEVELS)
        if level:
            used = f"The store uses {MEMORY_LEVELS[level - 1]:.0%} or more of the memory that it may use"
            sentence = f"{used}; when it is full, no job is accepted."
            self._memory = [Finding("store_memory", sentence, level=level)]
        elif share is None or share < MEMORY_FREE:
            self._memory = []
        return self._memory  # in between it stays as it is

    async def _durability(self) -> list[Finding]:
        faults = await self._health.durability()
        if self._accepted is None:
            self._accepted = frozenset(faults)
        new = [fault for fault in faults if fault not in self._accepted]
        return [Finding("store_not_durable", " ".join(new), level=len(new))] if new else []
