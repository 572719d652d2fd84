"""What must be true of the store after every test that used it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.domain.jobs import TERMINAL_STATES, Money, Status
from app.domain.limits import GATEWAY
from app.store import keys
from app.store.keys import LIFETIMES, PREFIX, Lifetime
from tests.support.entries import starts_in
from tests.support.snapshot import Snapshot

MAY_STAY = {Lifetime.PERMANENT, Lifetime.STANDING}
# How long the sums of a period are kept at least, from its beginning (ms): its shortest length, and more.
REMEMBERED_MS = {
    "minute": 660_000,
    "hour": 90_000_000,
    "day": 3_538_800_000,
    "week": 4_057_200_000,
    "month": 36_979_200_000,
}


def lifetime_of(name: str) -> Lifetime | None:
    """The lifetime class of a key; None for an undeclared key."""
    if not name.startswith(PREFIX):
        return None
    rest = name.removeprefix(PREFIX)
    if rest in LIFETIMES:
        return LIFETIMES[rest]
    beginnings = (rest[: end + 1] for end in range(len(rest) - 1, -1, -1) if rest[end] in ":_")
    return next((LIFETIMES[one] for one in beginnings if one in LIFETIMES), None)


async def store_faults(redis: Any) -> list[str]:
    """All of what follows, from one reading of the store."""
    snapshot = await Snapshot.read(redis)
    return immortals(snapshot) + book_faults(snapshot) + misplaced_slots(snapshot)


async def immortal_keys(redis: Any) -> list[str]:
    """Keys that would never expire by mistake: undeclared ones, and ones without the expiry of their class."""
    return immortals(await Snapshot.read(redis))


async def ledger_faults(redis: Any) -> list[str]:
    """Where sums, entries, places and jobs disagree; empty when every micro-dollar is accounted for."""
    return book_faults(await Snapshot.read(redis, *map(keys.PREFIX.__add__, BOOKS)))


BOOKS = ("teams", "ledger:", "reservations:", "total:", "period:", "job:", "live:", "queued:")


def immortals(snapshot: Snapshot) -> list[str]:
    """The same as `immortal_keys`, for a snapshot."""
    found = []
    for name, value in snapshot.values.items():
        lifetime = lifetime_of(name)
        if lifetime in MAY_STAY or name in snapshot.mortal:
            continue
        if lifetime is not Lifetime.LIVE or Status(value["status"]) in TERMINAL_STATES:
            found.append(name)
    return found


def misplaced_slots(snapshot: Snapshot) -> list[str]:
    """Slots of ended or finalizing jobs, and running jobs outside the quarantine without a slot."""
    slots, aside = snapshot.get(keys.SLOTS), snapshot.get(keys.QUARANTINE)
    faults = []
    for ref, job in snapshot.jobs().items():
        if ref in slots and (job.status in TERMINAL_STATES or job.status is Status.FINALIZING):
            faults.append(f"{ref} is {job.status} and holds a slot")
        if ref not in slots and job.status in {Status.SUBMITTING, Status.RUNNING} and f"poll {ref}" not in aside:
            faults.append(f"{ref} is {job.status} and holds no slot")
    return faults


def book_faults(snapshot: Snapshot) -> list[str]:
    """The same as `ledger_faults`, for a snapshot.

    Computed here from the entries and the records, independently of the program's own verification: what is held is
    open (B2), what is used was settled or corrected (B3), a reservation ends once (B4), nothing is below zero (B5),
    parts add up to the whole (B6), in total and in every stored calendar period.
    """
    ledgers = {team: [row for _, row in snapshot.get(keys.ledger(team)) or ()] for team in snapshot.get(keys.TEAMS)}
    faults = _sum_faults(snapshot, ledgers)
    for team, rows in ledgers.items():
        faults += _job_faults(snapshot, team, rows)
        faults += _part_faults(snapshot, team, rows)
    return faults + _gateway_faults(snapshot, ledgers) + _place_faults(snapshot)


NO_COUNTERS = ("told", "fixed", "also")  # alerts; sums carried over by a change of time zone


def sums_in(snapshot: Snapshot) -> dict[str, Counter[str]]:
    """The stored sums, by key: `held:usd`, `used:jobs`, `credit:usd` and so on, without notes."""
    found = {}
    for prefix in (keys.total(""), keys.PREFIX + "period:"):
        for rest, row in snapshot.named(prefix):
            counted = {name: int(value) for name, value in row.items() if not name.startswith(NO_COUNTERS)}
            found[prefix + rest] = Counter(counted)
    return found


def _count(rows: list[Mapping[str, str]]) -> Counter[str]:
    """The sums of the entries."""
    sums = Counter[str]()
    for row in rows:
        kind, amount = row["type"], int(row["amount"])
        if kind in {"credit", "correction"}:
            sums["credit:usd" if kind == "credit" else "used:usd"] += amount
        whole = {"jobs": 1, "usd": amount, "video_seconds": int(row["seconds"])}
        for unit, count in whole.items() if kind in {"reserve", "settle", "release"} else ():
            sums[f"held:{unit}"] += count if kind == "reserve" else -count
            sums[f"used:{unit}"] += count if kind == "settle" else 0
    return sums


def _keys_of(team: str, row: Mapping[str, str]) -> list[str]:
    """Every sum to which an entry adds; a credit is not the gateway's, and a token has only a total."""
    here, gateway = starts_in(row)
    owners = [(team, here)]
    if row["user"]:
        owners.append((row["user"], here))
    if row["type"] != "credit":
        owners.append((GATEWAY, gateway))
    names = [keys.total(owner) for owner, _ in owners] + ([keys.total(row["token"])] if row["token"] else [])
    return names + [keys.period(window, start, owner) for owner, own in owners for window, start in own.items()]


def _sum_faults(snapshot: Snapshot, ledgers: Mapping[str, list[Mapping[str, str]]]) -> list[str]:
    stored = sums_in(snapshot)
    entries: dict[str, list[Mapping[str, str]]] = {name: [] for name in stored}
    for team, rows in ledgers.items():
        for row in rows:
            for name in _keys_of(team, row):
                entries.setdefault(name, []).append(row)
    faults = []
    for name, rows in entries.items():
        if name not in stored and _forgotten(snapshot.now_ms, name):
            continue
        kept, counted = stored.get(name, Counter()), _count(rows)
        wrong = {field for field in kept | counted if kept[field] != counted[field]}
        below = {field for field, value in kept.items() if value < 0}
        faults += [
            f"{name}: {field} is {kept[field]}, entries say {counted[field]}" for field in sorted(wrong | below)
        ]
    return faults


def _forgotten(now_ms: int, name: str) -> bool:
    """True for a browser token's sums, and for those of a period that may have expired."""
    kind, *rest = name.removeprefix(PREFIX).split(":")
    if kind == "total":
        return rest[0].startswith("tok_")
    return int(rest[1]) + REMEMBERED_MS[rest[0]] < now_ms


def _job_faults(snapshot: Snapshot, team: str, rows: list[Mapping[str, str]]) -> list[str]:
    """Jobs whose entries do not begin once and end once, or whose record or reservation differs."""
    of_job: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        if row["job"]:
            of_job.setdefault(row["job"], []).append(row)
    faults, open_ones = [], {}
    for job_id, entries in of_job.items():
        kinds = [row["type"] for row in entries]
        closed = [kind for kind in kinds if kind in {"settle", "release"}]
        if kinds.count("reserve") != 1 or kinds[0] != "reserve" or len(closed) > 1:
            faults.append(f"{team}: {job_id} has the entries {kinds}")
        if not closed:
            open_ones[job_id] = entries[0]["amount"]
        record = snapshot.get(keys.job(f"{team}/{job_id}"))
        charged = sum(int(row["amount"]) for row in entries if row["type"] in {"settle", "correction"})
        if record and record.get("charged_micro") != (str(charged) if closed else None):
            faults.append(f"{team}: {job_id} was charged {record.get('charged_micro')}, entries say {charged}")
        unsure = Money.DISPUTED if "dispute" in kinds else Money.RESERVED
        if record and (record["money"] == unsure) != (not closed):
            faults.append(f"{team}: {job_id} is {record['money']}, entries say {kinds}")
    if snapshot.get(keys.reservations(team)) != open_ones:
        faults.append(f"{team}: open are {snapshot.get(keys.reservations(team))}, entries say {open_ones}")
    return faults


def _part_faults(snapshot: Snapshot, team: str, rows: list[Mapping[str, str]]) -> list[str]:
    """Sums of a team that differ from those of its users plus the entries without a user."""
    stored = sums_in(snapshot)
    users = {row["user"] for row in rows} - {""}
    faults = []
    for name in [name for name in stored if name.endswith(":" + team)]:
        parts = Counter[str]()
        for user in users:
            parts.update(stored.get(name.removesuffix(team) + user, {}))
        parts.update(_count([row for row in rows if not row["user"] and name in _keys_of(team, row)]))
        if +parts != +stored[name]:
            faults.append(f"{name}: {dict(stored[name])} is not the sum of its users, {dict(parts)}")
    return faults


def _gateway_faults(snapshot: Snapshot, teams: Mapping[str, Any]) -> list[str]:
    """Sums of the gateway that differ from its teams'. Periods longer than a minute depend on their zones."""
    stored = sums_in(snapshot)
    faults = []
    for name in stored:
        if not name.endswith(":" + GATEWAY) or not name.startswith(
            (keys.total(""), keys.period("minute", "", "")[:-1])
        ):
            continue
        parts = Counter[str]()
        for team in teams:
            parts.update(stored.get(name.removesuffix(GATEWAY) + team, {}))
        own = {field: value for field, value in parts.items() if not field.startswith("credit") and value}
        if own != {field: value for field, value in stored[name].items() if value}:
            faults.append(f"{name}: {dict(stored[name])} is not the sum of its teams, {own}")
    return faults


def _place_faults(snapshot: Snapshot) -> list[str]:
    """Sets of live and queued jobs that differ from the records, for the gateway, teams and users."""
    live: dict[str, set[str]] = {}
    for job in snapshot.jobs().values():
        for owner in (GATEWAY, job.team, job.user):
            if job.status not in TERMINAL_STATES:
                live.setdefault(keys.live(owner), set()).add(job.id)
            if job.status is Status.QUEUED:
                live.setdefault(keys.queued(owner), set()).add(job.id)
    stored = {
        name: value for name, value in snapshot.values.items() if name.startswith((keys.live(""), keys.queued("")))
    }
    return [
        f"{name}: {stored.get(name)} and not {live.get(name)}, as the records say"
        for name in sorted(stored.keys() | live.keys())
        if stored.get(name) != live.get(name)
    ]
