"""The mark of the storage, as the store knows it."""

from dataclasses import dataclass

from app.store import keys
from app.store.audit import AuditStore
from app.store.client import Client
from app.store.connection import store_errors


@dataclass(frozen=True, slots=True)
class KnownMark:
    """The id of the storage in use, None before the first; `written`: its mark was once there."""

    id: str | None
    written: bool


class StorageMarkStore:
    """Remembers the id of the storage in use."""

    def __init__(self, redis: Client, audit: AuditStore) -> None:
        self._redis = redis
        self._audit = audit

    async def known(self) -> KnownMark:
        """What is known."""
        with store_errors():
            mark, written = await self._redis.hmget(keys.STORAGE, "id", "written")
        return KnownMark(mark, bool(written))

    async def has_files(self) -> bool:
        """True when bytes of files in the storage are counted."""
        with store_errors():
            sums = await self._redis.hgetall(keys.KEPT_BYTES)
        return any(int(size) > 0 for name, size in sums.items() if name.endswith(" used"))

    async def propose(self, mark: str) -> str:
        """The id from now on: this one, or that of a process that was faster."""
        with store_errors():
            await self._redis.hsetnx(keys.STORAGE, "id", mark)
            return str(await self._redis.hget(keys.STORAGE, "id"))

    async def confirm(self) -> None:
        """Record that the storage has its mark; without it, it is another from then on."""
        with store_errors():
            await self._redis.hset(keys.STORAGE, "written", 1)

    async def accept(self, actor: str, mark: str, place: str) -> None:
        """Take the storage with this id, at this place, instead of the one before; an administrative act."""
        write = ("HSET", keys.STORAGE, "id", mark, "written", 1)
        await self._audit.act(actor, "storage.adopt", mark, {"place": place}, writes=[write])
