"""What is done for the storage about every 15 s, by a storage worker of one host or another."""

import time
from collections.abc import Awaitable, Callable

import structlog

from app.domain.counting import counted
from app.domain.errors import StorageAway, StoreUnavailable
from app.domain.ids import split_ref
from app.gateway import Gateway
from app.services.storage_trial import alarm_storage, try_storage
from workers.storage_deletion import delete_due

CARE_EVERY_S = 15.0
TRIAL_EVERY_S = 60.0
SEARCHED = 1000  # failing clips; of more, the alarm keeps the one that it names

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
            await note_storage_away(gateway, error)
            return
        except Exception:
            log.exception("storage.care_failed", care=care.__name__)


async def note_storage_away(gateway: Gateway, error: StorageAway) -> None:
    """Raise the alarm; from then on the storage is tried each time, until it can be used."""
    _next_trial[0] = 0.0
    await alarm_storage(gateway.stores.alarms, error)


async def try_now_and_then(gateway: Gateway) -> None:
    """Try the storage once a minute, and more often while that fails."""
    if gateway.storage is None or time.monotonic() < _next_trial[0]:
        return
    await try_storage(gateway.storage, gateway.stores.alarms)
    _next_trial[0] = time.monotonic() + TRIAL_EVERY_S


async def resolve_uncopied(gateway: Gateway) -> None:
    """End the alarm when no clip fails any more."""
    if not await gateway.stores.copies.uncopied():
        await gateway.stores.alarms.resolve_alarm(
            "clips_uncopied", "Every clip has been copied, has expired, or was erased."
        )


async def alarm_uncopied(gateway: Gateway, ref: str, why: str) -> None:
    """Raise the alarm, or renew its sentence: how many jobs' clips fail, and why that of this one."""
    count = await gateway.stores.copies.uncopied()
    clips = counted(count, "job's clip", "jobs' clips")
    team, job = split_ref(ref)
    sentence = f"{clips} cannot be copied to the storage; of {job} of {team}: {why}. fal has them for a week."
    await gateway.stores.alarms.raise_alarm("clips_uncopied", sentence, job=job, level=len(str(count)))


async def name_another(gateway: Gateway) -> None:
    """Let the alarm name a clip that still fails, when the one that it names does not any more.

    The next try of the others may be an hour away, and until then the sentence would give a cause that was mended.
    """
    named = [alarm.job for alarm in await gateway.stores.alarms.active() if alarm.kind == "clips_uncopied"]
    refs = await gateway.stores.copies.uncopied_refs(SEARCHED) if named else []
    if refs and len(refs) < SEARCHED and named[0] not in [split_ref(ref)[1] for ref in refs]:
        await alarm_uncopied(gateway, refs[-1], "`clip.not_copied` in the workers' log has the cause")


CARES: tuple[Callable[[Gateway], Awaitable[None]], ...] = (
    try_now_and_then,
    delete_due,
    resolve_uncopied,
    name_another,
)
