"""What is done for the storage about every 15 s, by a storage worker of one host or another."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from app.domain.errors import StorageAway, StoreUnavailable
from app.gateway import Gateway
from workers.storage_deletion import delete_due

CARE_EVERY_S = 15.0
TRIAL_EVERY_S = 60.0

log = structlog.get_logger()
_next_trial: list[float] = [0.0]  # of this process


async def care_for_storage(gateway: Gateway) -> None:
    """Each care in turn; a failure of one does not stop the others, and all are tried again.

    Two hosts may do it at the same time, so each care may be done twice.
    """
    for care in CARES:
        try:
            await care(gateway)
        except StoreUnavailable:
            return
        except StorageAway as error:
            await alarm_storage(gateway, error)
            return
        except Exception:
            log.exception("storage.care_failed", care=care.__name__)


async def alarm_storage(gateway: Gateway, error: StorageAway) -> None:
    """Raise the alarm; from then on the storage is tried each time, until it can be used."""
    _next_trial[0] = 0.0
    with suppress(StoreUnavailable):
        await gateway.stores.alarms.raise_alarm("storage_away", f"{error.sentence}.")


async def try_storage(gateway: Gateway) -> None:
    """Write, read and delete a small object, once a minute, and more often while that fails; it ends the alarm."""
    if gateway.storage is None or time.monotonic() < _next_trial[0]:
        return
    await gateway.storage.trial()
    _next_trial[0] = time.monotonic() + TRIAL_EVERY_S
    await gateway.stores.alarms.resolve_alarm("storage_away", "The storage can be written and read again.")


CARES: tuple[Callable[[Gateway], Awaitable[None]], ...] = (try_storage, delete_due)
