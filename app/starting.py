"""What every start does first: opens the storage, checks the store, the storage and the settings."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from app import __version__
from app.domain.data_format import FORMAT, refusal
from app.domain.errors import StorageAway, StoreUnavailable
from app.domain.store_role import StoreRole
from app.media.posters import can_make_posters
from app.services.storage_mark import StorageMark
from app.services.storage_trial import alarm_storage, try_storage
from app.settings import Settings, SettingsError, required_url, unknown_setting
from app.store.alarms import AlarmStore
from app.store.data_format import DataFormatStore
from app.store.readiness import StoreRefused, wait_for_store
from app.store.setting_names import SettingNames

if TYPE_CHECKING:
    from app.fal.client import FalClient
    from app.media.storage import Storage
    from app.services.clip_copies import ClipCopies, Hold

log = structlog.get_logger()


async def require_store(
    settings: Settings,
    redis: Any,
    *,
    role: StoreRole,
    patience: float | None,
    on_wait: Callable[[str], object] | None = None,
    warned: bool = False,
) -> None:
    """Wait for the store; refuse one that may lose purchases, or only warn if purchases cost nothing.

    `warned`: the parent process has logged the warnings already. SettingsError also for a setting that is unknown
    to this version and to every newer one that has started on this store, and for a data format that this version
    cannot read.
    """
    report = on_wait or (lambda why: log.warning("store.waiting", why=why))
    try:
        faults = await wait_for_store(redis, required_url(settings), role=role, patience=patience, on_wait=report)
    except StoreRefused as refused:
        raise SettingsError(f"FILMGATE_REDIS_URL: {refused}.") from None
    except StoreUnavailable as away:
        remedy = "start it, or correct FILMGATE_REDIS_URL"
        raise StoreUnavailable(f"{away.message.removesuffix('.')}; {remedy}.") from None
    await _refuse_format(redis)
    await _refuse_unknown(settings.unknown_names, redis)
    if faults and settings.store_must_last:
        raise SettingsError(faults[0])
    for fault in () if warned else faults:
        log.warning("store.not_durable", fault=fault)


def open_storage(settings: Settings, mark: StorageMark | None = None) -> "Storage | None":
    """The storage of clips and files, None without one; its library is loaded only where there is one.

    `mark` knows whether it is the right one; without it, as before a restore, nobody does.
    """
    if settings.storage is None:
        return None
    if settings.posters and not can_make_posters():
        raise SettingsError("FILMGATE_POSTERS needs PyAV, which decodes videos; install filmgate[posters].")
    from app.media.storage import Storage  # noqa: PLC0415  5 MB

    key_id, secret = settings.storage_key_id, settings.storage_secret
    return Storage(
        settings.storage,
        key_id=key_id.get_secret_value() if key_id else None,
        secret=secret.get_secret_value() if secret else None,
        check=None if mark is None else mark.require,
    )


def clip_copies(
    settings: Settings, fal: "FalClient", storage: "Storage | None", hold: "Hold"
) -> "ClipCopies | None":
    """What copies clips, None without a storage; `hold` counts their bytes."""
    if storage is None:
        return None
    from app.services.clip_copies import ClipCopies  # noqa: PLC0415  as above

    return ClipCopies(fal, storage, folder=settings.data_dir / "copies", hold=hold)


async def require_storage(storage: "Storage | None", alarms: AlarmStore) -> None:
    """Try the storage, if there is one; SettingsError with a sentence when nothing can be written, read or deleted.

    One that does not answer or is not mounted is an outage, which must not keep the gateway down too: its alarm is
    raised, and clips are copied when it is back.
    """
    if storage is None:
        return
    try:
        with suppress(StoreUnavailable):
            await try_storage(storage, alarms)
    except StorageAway as error:
        if error.reason not in {"away", "unmarked"}:
            raise SettingsError(f"FILMGATE_STORAGE: {error.sentence}.") from None
        log.warning("storage.waiting", why=error.sentence, effect="clips are kept when it is back")
        await alarm_storage(alarms, error)


async def _refuse_format(redis: Any) -> None:
    """SettingsError for a store whose data this version cannot read; a warning for one that is a format newer."""
    number = (await DataFormatStore(redis).state()).number
    sentence = refusal(number, version=__version__)
    if sentence is not None:
        raise SettingsError(sentence)
    if number > FORMAT:
        log.warning("format.newer", number=number, own=FORMAT, effect="it can be read; upgrade this program soon")


async def _refuse_unknown(names: tuple[str, ...], redis: Any) -> None:
    """SettingsError for unknown settings, except those of a newer version, so that a rollback starts."""
    if not names:
        return
    newer = await SettingNames(redis).newer_than(__version__)
    for name in names:
        if name not in newer:
            raise unknown_setting(name)
    log.warning("settings.of_newer_version", names=list(names), effect="this version does not know them; ignored")
