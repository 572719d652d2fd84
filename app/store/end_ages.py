"""The ages at which generations ended, by model and length; they say when to poll (app/domain/poll_plan.py)."""

from collections.abc import Sequence

from app.domain.poll_plan import MOST
from app.store import keys, scripts
from app.store.client import Client
from app.store.connection import store_errors
from app.store.reads import pairs


class EndAgeStore:
    """Counts ends; the counts of a model and a length expire when nothing has ended for `kept_ms`."""

    def __init__(self, redis: Client, *, kept_ms: int) -> None:
        self._redis = redis
        self._kept_ms = kept_ms

    async def count(self, model: str, seconds: int, bins: Sequence[int]) -> dict[int, int]:
        """Add ends in these bins; all counts, by bin."""
        with store_errors():
            flat = await scripts.count_ends(
                self._redis, ends=keys.end_ages(model, seconds), most=MOST, kept_ms=self._kept_ms, rest=bins
            )
        return {int(number): int(count) for number, count in pairs(flat).items()}
