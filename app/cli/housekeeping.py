"""What `filmgate up` looks after beside its processes: its logs, and the disk that they share with the store."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.cli.logs import rotate
from app.domain.errors import StoreUnavailable
from app.services.store_disk import StoreDisk
from app.store.alarms import AlarmStore
from app.store.connection import connect, disconnect

LOOK_S = 5.0  # between two looks at the disk


class Housekeeping:
    """Called again and again by the supervisor, which has no event loop; `store_url` is the embedded store's."""

    def __init__(self, data_dir: Path, logs: Sequence[Path], *, store_url: str | None) -> None:
        self._logs = [*logs, data_dir / "redis.log"]
        self._disk = StoreDisk(data_dir if store_url is not None else None)
        self._store_url = store_url
        self._next_look = 0.0
        self._said = False

    def look(self) -> str | None:
        """Cut the logs; the sentence about the disk when it is new. The alarm has it as well."""
        for path in self._logs:
            rotate(path)
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + LOOK_S
        fault = self._disk.fault()
        said, self._said = self._said, fault is not None
        if fault is None or said or self._store_url is None:
            return None
        with suppress(StoreUnavailable):
            asyncio.run(_ring(self._store_url, fault))
        return fault


async def _ring(url: str, sentence: str) -> None:
    redis = connect(url, name="filmgate-up")
    try:
        await AlarmStore(redis).ring("disk_low", sentence)
    finally:
        await disconnect(redis)
