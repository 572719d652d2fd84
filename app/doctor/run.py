"""All checks of an installation, from the environment to the last alarm."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from app.doctor.fal_checks import check_admin_key, check_fal, check_webhooks
from app.doctor.host_checks import (
    check_certificate,
    check_disk,
    check_prices,
    check_settings,
    check_sign_on,
    check_storage,
    check_traces,
    unknown_settings,
)
from app.doctor.results import CHECK_SECONDS, Check, CheckResult, fault, run_checks, skipped
from app.doctor.store_checks import (
    check_alarms,
    check_backups,
    check_clock,
    check_format,
    check_store,
    check_unknown,
    check_workers,
)
from app.domain.errors import StoreUnavailable
from app.settings import SettingsError, load_settings
from app.stores import Stores, open_stores
from app.this_store import with_this_store

ANSWER_S = 3.0
NEED_STORE = ("clock", "format", "workers", "lanes", "backups", "buying", "alarms")


async def examine(environ: Mapping[str, str] = os.environ, *, seconds: float = CHECK_SECONDS) -> list[CheckResult]:
    """The results of all checks. Settings that cannot be read end it; a store that is away, its own part."""
    try:
        settings = with_this_store(load_settings(environ, keep_unknown=True))
    except SettingsError as error:
        return [fault("settings", str(error), "correct the setting (docs/settings.md); nothing else was checked.")]
    local: list[tuple[str, Check]] = [
        ("settings", partial(check_settings, settings)),
        ("prices", partial(check_prices, settings)),
        ("disk", partial(check_disk, settings)),
        ("certificate", partial(check_certificate, settings)),
        ("traces", partial(check_traces, environ)),
        ("sign-on", partial(check_sign_on, settings)),
        ("fal", partial(check_fal, settings)),
        ("fal admin key", partial(check_admin_key, settings)),
        ("fal webhooks", partial(check_webhooks, settings)),
    ]
    if settings.redis_url is None:
        sentence = f"FILMGATE_REDIS_URL is not set, and nothing runs in {settings.data_dir.absolute()}."
        missing = fault("store", sentence, "start `filmgate up`, or set FILMGATE_REDIS_URL.")
        local.append(("storage", partial(check_storage, settings, None)))
        return [*await run_checks(local, seconds=seconds), *unknown_settings(settings), missing, *_skipped()]
    async with open_stores(settings, process="doctor") as stores:
        with_store: list[tuple[str, Check]] = [
            ("storage", partial(check_storage, settings, stores)),
            ("store", partial(check_store, settings, stores)),
        ]
        found = await run_checks([*local, *with_store], seconds=seconds)
        if not await _answers(stores):
            return [*found, *unknown_settings(settings), *_skipped()]
        return found + await run_checks(
            [
                ("settings", partial(check_unknown, settings, stores)),
                ("clock", partial(check_clock, stores)),
                ("format", partial(check_format, stores)),
                ("workers", partial(check_workers, settings, stores)),
                ("backups", partial(check_backups, settings, stores)),
                ("alarms", partial(check_alarms, settings, stores)),
            ],
            seconds=seconds,
        )


async def _answers(stores: Stores) -> bool:
    """True when the store can be read, whatever is wrong with it."""
    with suppress(StoreUnavailable, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await stores.data_format.state()
            return True
    return False


def _skipped() -> list[CheckResult]:
    return [skipped(check, "The store cannot be read.") for check in NEED_STORE]
