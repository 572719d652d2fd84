"""What every start asks of the store and of its settings, before it does anything."""

from collections.abc import Callable
from typing import Any

import structlog

from app import __version__
from app.settings import Settings, SettingsError, required_url, unknown_setting
from app.store.readiness import StoreRefused, wait_for_store
from app.store.setting_names import SettingNames

log = structlog.get_logger()


async def require_store(
    settings: Settings,
    redis: Any,
    *,
    patience: float | None,
    on_wait: Callable[[str], object] | None = None,
    warned: bool = False,
) -> None:
    """Wait for the store; refuse one that could forget what was bought, where buying costs money, else warn.

    `warned` says that the process which started this one has done that.
    SettingsError, too, for a setting that neither this version nor a newer one that has started here knows.
    """
    said = on_wait or (lambda why: log.warning("store.waiting", why=why))
    try:
        faults = await wait_for_store(redis, required_url(settings), patience=patience, on_wait=said)
    except StoreRefused as refused:
        raise SettingsError(f"FILMGATE_REDIS_URL: {refused}.") from None
    await _refuse_unknown(settings.unknown_names, redis)
    mode = settings.store_check or ("refuse" if settings.real_money else "warn")
    if faults and mode == "refuse":
        raise SettingsError(faults[0])
    for fault in () if warned else faults:
        log.warning("store.not_durable", fault=fault)


async def _refuse_unknown(names: tuple[str, ...], redis: Any) -> None:
    """Let pass, with one line, what a newer version knows: otherwise nobody could go back to this one."""
    if not names:
        return
    newer = await SettingNames(redis).newer_than(__version__)
    for name in names:
        if name not in newer:
            raise unknown_setting(name)
    log.warning("settings.of_newer_version", names=list(names), effect="this version does not know them; ignored")
