"""Whether the storage is the one that was used before.

A folder whose disk is not mounted is an empty folder, and a bucket may be created anew. Clips that were written
there would be on the wrong disk, and what is deleted there stays where it is. So the storage has a mark, an object
with an id, and the store remembers the id.
"""

import time
from typing import TYPE_CHECKING

from app.domain.ids import new_id
from app.store.storage_mark import StorageMarkStore

if TYPE_CHECKING:
    from app.media.storage import Storage

ASK_EVERY_S = 60.0  # an administrator may have accepted another storage


class StorageMark:
    """Compares the mark of the storage with the id in the store."""

    def __init__(self, store: StorageMarkStore) -> None:
        self._store = store
        self._known: str | None = None
        self._asked = 0.0

    async def require(self, storage: "Storage") -> None:
        """Do nothing when the storage has the mark that is known. At the first use it gets one.

        1. read its mark; usually it is the known one
        2. the store knows none: that of the storage is taken over, or a new one, which all processes agree on.
           An empty storage is refused where the store counts files
        3. write the mark, unless that was done once: then it has to be there

        Raises:
            StorageAway: `unmarked`; it has another mark or none. Or it cannot be read.
            StoreUnavailable: nothing is known.
        """
        found = await storage.mark()
        if found is not None and found == self._known and time.monotonic() < self._asked + ASK_EVERY_S:
            return
        known = await self._store.known()
        mark = known.id
        if mark is None:
            if found is None and await self._store.has_files() and await storage.is_empty():
                raise await storage.not_meant(None)
            mark = await self._store.propose(found or new_id("storage"))
        if not known.written:
            if found is None:
                await storage.write_mark(mark)
                found = mark
            if found == mark:
                await self._store.confirm()
        if found != mark:
            raise await storage.not_meant(found)
        self._known, self._asked = mark, time.monotonic()

    async def adopt(self, actor: str, storage: "Storage") -> str:
        """Accept the storage as it is, with its mark or a new one; its id. For an administrator.

        Raises:
            StorageAway: it cannot be used.
        """
        mark = await storage.mark()
        if mark is None:
            mark = new_id("storage")
            await storage.write_mark(mark)
        await self._store.accept(actor, mark, str(storage.address))
        return mark
