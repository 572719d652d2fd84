"""Checks of the store and of what it knows: durability, clock, data format, workers, lanes, alarms."""

import time
from collections import Counter
from collections.abc import AsyncIterator

from app import __version__
from app.doctor.host_checks import unknown_settings
from app.doctor.results import CheckResult, fault, ok, skipped, warning
from app.domain.alarms import KINDS
from app.domain.counting import counted
from app.domain.data_format import FORMAT, refusal
from app.domain.errors import StoreUnavailable
from app.domain.heartbeats import ROLES
from app.domain.store_role import StoreRole
from app.domain.times import iso
from app.settings import Settings, required_url
from app.store.readiness import StoreRefused, wait_for_store
from app.stores import Stores

SKEW_WARN_S = 2.0
SKEW_FAULT_S = 30.0
LANE_LATE_S = 30.0
FULL_SHARE = 0.8
MAX_SHOWN = 5


async def check_store(settings: Settings, stores: Stores) -> AsyncIterator[CheckResult]:
    """It answers, can be used, and keeps what it acknowledges."""
    try:
        url = required_url(settings)
        faults = await wait_for_store(stores.redis, url, patience=0, role=StoreRole.API, on_wait=lambda _: None)
    except StoreRefused as refused:
        remedy = "change the store, its user's rights or FILMGATE_REDIS_URL accordingly (docs/store.md)."
        yield fault("store", f"{str(refused)[:1].upper()}{str(refused)[1:]}.", remedy)
        return
    except StoreUnavailable as away:
        yield fault("store", away.message, "start the store, or correct FILMGATE_REDIS_URL (docs/store.md).")
        return
    report = fault if settings.real_money else warning
    for sentence in faults:
        yield report("store", sentence, "change the store's configuration (docs/store.md).")
    facts = await stores.health.facts()
    name = f"{facts.kind.capitalize()} {facts.version}"
    if facts.maxmemory == 0:
        yield warning(
            "store",
            "The store has no maxmemory: when memory is used up, the kernel kills it instead of a refusal.",
            "set maxmemory to about half of its machine's or container's memory.",
        )
    elif facts.used > FULL_SHARE * facts.maxmemory:
        share = facts.used / facts.maxmemory
        yield fault(
            "store",
            f"The store uses {share:.0%} of its memory; when it is full, no job is accepted.",
            "raise maxmemory, or shorten FILMGATE_RETENTION_DAYS.",
        )
    if settings.store_replicas > facts.replicas:
        yield fault(
            "replicas",
            f"{counted(settings.store_replicas, 'replica')} must confirm each job, and {facts.replicas} can.",
            "start the replica, or set FILMGATE_STORE_REPLICAS; jobs are answered with 503 until then.",
        )
    elif facts.replicas:
        confirm = f"{settings.store_replicas or 'none'} must confirm"
        yield ok("replicas", f"The primary has {counted(facts.replicas, 'replica')}; {confirm}.")
    else:
        yield skipped("replicas", "The store has no replica; `filmgate backup` is the only copy.")
    if not faults:
        size = f"{facts.used / 1e6:.0f} MB used"
        yield ok("store", f"{name} answers, is durable as configured, and may be used ({size}).")


async def check_clock(stores: Stores) -> AsyncIterator[CheckResult]:
    """This machine's clock against the store's, which decides deadlines and periods."""
    before = time.time()
    store_s = await stores.clock.now_ms() / 1000
    off = store_s - (before + time.time()) / 2
    yield compare_clocks("clock", off, "the store's")


def compare_clocks(check: str, off: float, whose: str) -> CheckResult:
    """The result for a difference of so many seconds between this machine's clock and another."""
    found = f"This machine's clock is {abs(off):.1f} s {'behind' if off > 0 else 'ahead of'} {whose}"
    remedy = "run an NTP client on both machines (`timedatectl`, chrony)."
    if abs(off) > SKEW_FAULT_S:
        return fault(check, f"{found}: signatures, leases and reports will be wrong.", remedy)
    return warning(check, f"{found}.", remedy) if abs(off) > SKEW_WARN_S else ok(check, f"{found}.")


async def check_format(stores: Stores) -> AsyncIterator[CheckResult]:
    """The store's data format, a migration, and other versions on the same store."""
    state = await stores.data_format.state()
    refused = refusal(state.number, version=__version__)
    if refused is not None:
        yield fault("format", refused, "run the version that the store needs on every host (docs/upgrading.md).")
    elif state.number < FORMAT:
        done = f"; {counted(state.changed, 'record')} rewritten so far" if state.to else ""
        yield warning(
            "format",
            f"The store has data format {state.number}, this version {FORMAT}{done}.",
            "running workers migrate it in the background; `filmgate migrate` does it at once.",
        )
    else:
        yield ok("format", f"The store has data format {state.number}, this version {FORMAT}.")
    versions = Counter(program.version for program in await stores.data_format.programs())
    if len(versions) > 1:
        shown = ", ".join(f"{version} ({count})" for version, count in sorted(versions.items()))
        yield warning("format", f"Several versions run: {shown}.", "finish the upgrade (docs/upgrading.md).")


async def check_unknown(settings: Settings, stores: Stores) -> AsyncIterator[CheckResult]:
    """Settings that this version does not know; the store tells whether a newer one does."""
    if settings.unknown_names:
        for result in unknown_settings(settings, await stores.setting_names.newer_than(__version__)):
            yield result


async def check_workers(settings: Settings, stores: Stores) -> AsyncIterator[CheckResult]:
    """Every kind of worker is alive, and a lane has run a moment ago."""
    workers = await stores.heartbeats.workers()
    if settings.storage is not None and "storage" not in workers.values():
        yield fault(
            "workers",
            "No worker for the storage is alive: no clip is copied, and no file is deleted there.",
            "start `filmgate worker` with the FILMGATE_STORAGE that is set here.",
        )
    counted = Counter(workers.values())
    missing = [role for role in ROLES if not counted[role]]
    hosts = sorted({name.rpartition(":")[0] for name in workers})
    if missing:
        yield fault(
            "workers",
            f"No worker of the kind {', '.join(missing)} is alive: jobs are accepted and wait.",
            "start `filmgate worker`, or read its log.",
        )
    else:
        kinds = ", ".join(f"{counted[role]} {role}" for role in ROLES)
        yield ok("workers", f"{kinds} on {', '.join(hosts[:MAX_SHOWN])}.")
    late_s = await stores.lanes.idle_s()
    if late_s is None:
        yield skipped("lanes", "No lane has run on this store yet.")
    elif late_s > LANE_LATE_S:
        yield fault(
            "lanes",
            f"No lane has run for {late_s:.0f} s: nothing is bought, polled or finished.",
            "look at the log of `filmgate worker`; restart it on one host.",
        )
    else:
        yield ok("lanes", f"A lane ran {late_s:.1f} s ago.")


async def check_backups(settings: Settings, stores: Stores) -> AsyncIterator[CheckResult]:
    """The newest backup in the storage is as new as it should be."""
    last = await stores.backup.last()
    if settings.backup_every is None and last.at_ms is None:
        message = "FILMGATE_BACKUP_EVERY is not set: nothing here makes backups."
        if settings.real_money:
            yield warning(
                "backups", message, "set it, or let something else run `filmgate backup` (docs/backup.md)."
            )
        else:
            yield skipped("backups", message)
        return
    if last.at_ms is None:
        why = f" ({last.why})" if last.why else ""
        yield fault("backups", f"There is no backup yet{why}.", "run `filmgate backup --to-storage`.")
        return
    found = f"The newest backup, {last.name}, is {last.age_hours:.1f} h old"
    every_ms = None if settings.backup_every is None else settings.backup_every * 1000
    if last.is_late(every_ms) or last.why:
        why = f"; the last try failed: {last.why}" if last.why else "."
        remedy = "correct what it says, and run `filmgate backup --to-storage`"
        if not last.why:
            remedy = "look whether workers with FILMGATE_BACKUP_EVERY run, and run `filmgate backup --to-storage`"
        yield fault("backups", f"{found}{why}", f"{remedy} (docs/runbook.md#backup_failed).")
    else:
        yield ok("backups", f"{found}.")


async def check_alarms(settings: Settings, stores: Stores) -> AsyncIterator[CheckResult]:
    """What is wrong already: active alarms, whether they reach their receiver, and whether buying is stopped."""
    stopped = (await stores.buying.state()).reason_for("")
    if stopped is not None:
        remedy = "look for the cause with `filmgate status` and `filmgate epoch show`; then `filmgate resume`."
        yield fault("buying", f"Nothing is bought: {stopped}", remedy)
    else:
        yield ok("buying", "Jobs may be bought.")
    active = await stores.alarms.active()
    for alarm in active[:MAX_SHOWN]:
        about = f" ({alarm.about})" if alarm.about else ""
        ends = KINDS[alarm.kind].ends if alarm.kind in KINDS else ""
        remedy = f"it ends when {ends}; docs/runbook.md#{alarm.kind} has the steps."
        yield fault("alarms", f"{alarm.kind}{about}: {alarm.message}", remedy)
    if len(active) > MAX_SHOWN:
        more = counted(len(active) - MAX_SHOWN, "more alarm is", "more alarms are")
        yield fault("alarms", f"{more} active.", "`filmgate status` lists them all.")
    receiver = await stores.alerts.receiver()
    unheard = settings.alert_webhook is not None and receiver.failures > 0
    if unheard:
        what = f"The receiver of FILMGATE_ALERT_WEBHOOK fails since {iso(receiver.since_ms)}: {receiver.error}."
        yield fault("alarms", what, "mend it; `filmgate alerts test` sends it a message and shows its answer.")
    if not active and not unheard:
        yield ok("alarms", "No alarm is active.")
