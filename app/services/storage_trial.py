"""A trial of the storage, and the alarm that it ends."""

from contextlib import suppress
from typing import TYPE_CHECKING

from app.domain.errors import StorageAway, StoreUnavailable
from app.store.alarms import AlarmStore

if TYPE_CHECKING:
    from app.media.storage import Storage


async def try_storage(storage: "Storage", alarms: AlarmStore) -> None:
    """Write, read and delete a small object, which ends the alarm.

    Raises:
        StorageAway: one of them failed; the alarm stays as it is.
        StoreUnavailable: they went well, and the alarm could not be ended.
    """
    await storage.trial()
    await alarms.resolve_alarm("storage_away", "The storage can be written and read again.")


async def alarm_storage(alarms: AlarmStore, error: StorageAway) -> None:
    """Raise the alarm, unless the store is away too."""
    with suppress(StoreUnavailable):
        await alarms.raise_alarm("storage_away", f"{error.sentence}.")
