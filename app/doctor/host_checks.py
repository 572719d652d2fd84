"""Checks of this machine: settings, files, disk, certificate, data directory."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches

from app import tracing
from app.certificate import CertificateRefused, read_pair
from app.data_dir import IN_MEMORY, KERNELS_OWN, NotPrivate, file_system, nearest_folder, require_private
from app.doctor.results import CheckResult, fault, ok, skipped, warning
from app.domain.counting import counted
from app.domain.errors import StorageAway, StoreUnavailable
from app.gateway import egress_policy, load_catalog, route_to_fal
from app.registry.catalog import Catalog
from app.services.storage_mark import StorageMark
from app.settings import KNOWN_NAMES, Settings, SettingsError
from app.single_sign_on import open_id_provider
from app.starting import open_storage
from app.stores import Stores

LOW_DISK_BYTES = 1_000_000_000
LOW_DISK_SHARE = 0.05
CERTIFICATE_DAYS = 21
PRICE_DAYS = 90
WITNESS = "epoch.json"
STORAGE_REMEDIES = {
    "away": "start it, or correct its address in FILMGATE_STORAGE",
    "denied": "let this user, or the key, write, read and delete there (docs/storage.md)",
    "read_only": "mount it so that it can be written",
    "full": "make room there: delete what is not Filmgate's, or enlarge it",
    "unmarked": "mount the storage that was used before, or take this one with `filmgate storage adopt`",
}


async def check_settings(settings: Settings) -> AsyncIterator[CheckResult]:
    """Rules over several settings, and the files that they name."""
    faults = 0
    with_store = (egress_policy,) if settings.redis_url is not None else ()  # which webhooks may not reach
    for read in (*with_store, route_to_fal):
        try:
            read(settings)
        except SettingsError as error:
            faults += 1
            yield fault("settings", str(error), "correct the setting (docs/settings.md).")
    if settings.real_money and settings.admin_key is None:
        yield warning(
            "settings",
            "FILMGATE_ADMIN_KEY is not set: there is no administration over HTTP.",
            "set it (`openssl rand -hex 32`), or administer with the command.",
        )
    if settings.real_money and settings.alert_webhook is None:
        yield warning(
            "settings",
            "FILMGATE_ALERT_WEBHOOK is not set: nobody is told of an alarm.",
            "set it to your pager's or chat's address (docs/runbook.md).",
        )
    if settings.real_money and settings.hook_secret is None:
        yield warning(
            "settings",
            "FILMGATE_HOOK_SECRET is only in the store: an emptied store cannot recognise its requests at fal.",
            "set it (`openssl rand -hex 32`); requests that fal has now keep their old markers.",
        )
    if not faults and not settings.unknown_names:
        yield ok("settings", "The settings are valid.")


def unknown_settings(settings: Settings, known: Collection[str] = ()) -> Iterator[CheckResult]:
    """Names that no start accepts: those that no newer version knows which has used the store (`known`)."""
    for name in settings.unknown_names:
        if name in known:
            what = f"{name} is not known to this version, only to a newer one that has used this store."
            yield warning(
                "settings", what, "upgrade this program, or remove the setting; until then it is ignored."
            )
            continue
        meant = get_close_matches(name, KNOWN_NAMES, n=1)
        remedy = f"correct the name (is {meant[0]} meant?), or remove it." if meant else "remove it."
        yield fault(
            "settings", f"{name} is no setting; `filmgate serve` and `worker` refuse to start with it.", remedy
        )


async def check_sign_on(settings: Settings) -> AsyncIterator[CheckResult]:
    """Read what the provider of single sign-on publishes, as a sign-in would."""
    try:
        provider = None if settings.redis_url is None else open_id_provider(settings, egress_policy(settings))
    except SettingsError:
        provider = None  # said by `check_settings`
    if provider is None:
        yield skipped("sign-on", "FILMGATE_OIDC_ISSUER is not set: people sign in with keys.")
    elif reason := await provider.fault():
        yield fault(
            "sign-on", reason, "correct FILMGATE_OIDC_ISSUER, or let this host reach it (docs/single-sign-on.md)."
        )
    else:
        yield ok("sign-on", f"{settings.oidc_issuer} publishes its addresses and keys.")


async def check_traces(environ: Mapping[str, str]) -> AsyncIterator[CheckResult]:
    """The OTEL_* variables can be used, and the collector takes a batch without spans."""
    try:
        taken = await asyncio.to_thread(tracing.trial, environ)
    except tracing.Unusable as why:
        yield fault("traces", f"No span is recorded: {why.reason}.", f"{why.remedy} (docs/observability.md).")
        return
    if taken is None:
        yield skipped("traces", "OTEL_EXPORTER_OTLP_ENDPOINT is not set, or switched off: no spans are recorded.")
    elif taken:
        yield ok("traces", "The collector takes spans.")
    else:
        yield warning(
            "traces",
            f"The collector did not take a batch within {tracing.TRIAL_S} s: spans are dropped; all else works.",
            "start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT, …_HEADERS or …_CERTIFICATE on this host.",
        )


async def check_prices(settings: Settings) -> AsyncIterator[CheckResult]:
    """The models can be read; how old their prices are."""
    try:
        catalog: Catalog = await asyncio.to_thread(load_catalog, settings)
    except SettingsError as error:
        yield fault("prices", str(error).replace("\n", " "), "correct the file (docs/models.md).")
        return
    dates = sorted(model.price_date for model in catalog if model.price_date is not None)
    if not dates:
        yield ok("prices", "All prices are your own.")
        return
    today = datetime.fromtimestamp(time.time(), UTC).date()
    old = [day for day in dates if (today - day).days > PRICE_DAYS]
    found = f"The prices are from {_span(dates)}"
    if old:
        yield warning(
            "prices",
            f"{found}; {len(old)} of {len(dates)} are older than {PRICE_DAYS} days.",
            "compare them with fal's: `filmgate models sync --check`; override them with FILMGATE_PRICES.",
        )
    else:
        yield ok("prices", f"{found}; `filmgate models sync --check` compares them with fal's.")


async def check_disk(settings: Settings) -> AsyncIterator[CheckResult]:
    """The data directory belongs to this user, can be written, and has room."""
    folder = settings.data_dir.absolute()
    above = nearest_folder(folder)
    if (kind := file_system(above)) in KERNELS_OWN:
        what = f"{folder} is on a file system of the kernel's ({kind}), which keeps no files."
        yield fault("disk", what, "set FILMGATE_DATA_DIR to a directory on a disk.")
        return
    if kind in IN_MEMORY:
        what = f"{folder} is in memory ({kind}): what is kept there is gone after a restart of the machine."
        yield warning("disk", what, "set FILMGATE_DATA_DIR to a directory on a disk.")
    if not folder.is_dir():
        if os.access(above, os.W_OK | os.X_OK):
            yield skipped("disk", f"{folder} does not exist yet; the first start makes it.")
        else:
            remedy = "make it for this user, or set FILMGATE_DATA_DIR to another directory."
            yield fault("disk", f"{folder} does not exist, and this user may make nothing in {above}.", remedy)
        return
    try:
        await asyncio.to_thread(require_private, folder)
        (folder / ".doctor").write_bytes(b"")
        (folder / ".doctor").unlink()
    except NotPrivate as error:
        yield fault("disk", str(error), "give the directory to this user, and take the right to write from others.")
    except OSError as error:
        yield fault(
            "disk",
            f"{folder} cannot be written ({error.strerror}): a store that goes back in time is not noticed.",
            "set FILMGATE_DATA_DIR to a writable directory that survives restarts.",
        )
    usage = shutil.disk_usage(folder)
    free = f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.1f} GB are free on the disk of {folder}"
    if usage.free < max(LOW_DISK_BYTES, LOW_DISK_SHARE * usage.total):
        yield warning("disk", f"{free}.", "make room: logs, uploads and an embedded store are on it.")
    else:
        yield ok("disk", f"{free}.")
    if settings.real_money and not (folder / WITNESS).exists():
        yield warning(
            "disk",
            f"{folder} has no witness ({WITNESS}): what the store lost before the next start is not noticed.",
            "on hosts with workers keep the directory on a volume; a first start makes the file.",
        )


async def check_certificate(settings: Settings) -> AsyncIterator[CheckResult]:
    """The certificate that is served can be used, and for how long."""
    if settings.tls_cert is None or settings.tls_key is None:
        yield skipped("certificate", "FILMGATE_TLS_CERT is not set; https is a proxy's business.")
        return
    try:
        pair = await asyncio.to_thread(read_pair, settings.tls_cert, settings.tls_key)
    except CertificateRefused as error:
        remedy = "give a certificate and its private key without a password, both as PEM."
        yield fault("certificate", str(error), remedy)
        return
    now, ends = datetime.fromtimestamp(time.time(), UTC), pair.ends
    days = (ends - now).days
    until = f"The certificate is valid until {ends:%Y-%m-%d %H:%M} UTC"
    renew = "renew it, and send SIGHUP to `filmgate serve`."
    if now < pair.begins:
        begins = f"{pair.begins:%Y-%m-%d %H:%M}"
        yield fault("certificate", f"The certificate is valid from {begins} UTC on.", "use one that is valid now.")
    elif ends < now:
        yield fault("certificate", f"{until}: it has expired.", renew)
    elif days < CERTIFICATE_DAYS:
        yield warning("certificate", f"{until}: {counted(days, 'day')}.", renew)
    else:
        yield ok("certificate", f"{until}.")


async def check_storage(settings: Settings, stores: Stores | None) -> AsyncIterator[CheckResult]:
    """Write, read and delete a small object; where the store answers, in the storage that it knows."""
    storage = open_storage(settings, None if stores is None else StorageMark(stores.storage_mark))
    if storage is None:
        yield skipped("storage", "FILMGATE_STORAGE is not set: clips stay at fal for about a week.")
        return
    try:
        await storage.trial()
    except StoreUnavailable:
        async for result in check_storage(settings, None):
            yield result
    except StorageAway as error:
        remedy = STORAGE_REMEDIES.get(error.reason, "do what the sentence says (docs/storage.md)")
        yield fault("storage", f"{error.sentence}.", f"{remedy}; until then clips stay at fal.")
    else:
        yield ok("storage", f"{storage.address} was written, read and deleted in a trial.")


def _span(dates: list[date]) -> str:
    return str(dates[0]) if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
