"""What must be true of the store after every test that used it."""

from collections import Counter
from typing import Any

from app.domain.jobs import ENDS, Job, Status
from app.store import keys
from app.store.keys import LIFETIMES, PREFIX, Lifetime
from app.store.records import read_job

RQ_PREFIX = "rq:"
MAY_STAY = {Lifetime.PERMANENT, Lifetime.STANDING}


def lifetime_of(name: str) -> Lifetime | None:
    """The lifetime class of a key; None for a key nobody has declared."""
    rest = name.removeprefix(PREFIX)
    matching = [
        prefix
        for prefix in LIFETIMES
        if rest == prefix or (prefix.endswith((":", "_")) and rest.startswith(prefix))
    ]
    return LIFETIMES[max(matching, key=len)] if matching and name.startswith(PREFIX) else None


async def immortal_keys(redis: Any) -> list[str]:
    """Keys that would live for ever by accident: undeclared ones, and ones without the expiry their class has."""
    found = []
    async for name in redis.scan_iter(count=1000):
        if name.startswith(RQ_PREFIX):
            continue
        lifetime = lifetime_of(name)
        if lifetime in MAY_STAY or await redis.ttl(name) >= 0:
            continue
        live = lifetime is Lifetime.LIVE and Status(await redis.hget(name, "status")) not in ENDS
        if not live and await redis.exists(name):
            found.append(name)
    return found


async def ledger_faults(redis: Any) -> list[str]:
    """Where sums, entries, places and jobs disagree; empty when every micro-dollar is in its place.

    Counted here from the entries and the records, apart from the program's own verification.
    """
    faults = []
    gateway = Counter[str]()
    jobs = [read_job(await redis.hgetall(name)) async for name in redis.scan_iter(match=keys.job("*"), count=1000)]
    for team in await redis.smembers(keys.TEAMS):
        open_ones = {job: int(amount) for job, amount in (await redis.hgetall(keys.reservations(team))).items()}
        sums: dict[str, Counter[str]] = {}
        closed = Counter[str]()
        quoted = Counter[str]()
        for _, entry in await redis.xrange(keys.ledger(team)):
            amount, kind = int(entry["amount"]), entry["type"]
            quoted[kind] += amount
            closed[entry["job"]] += kind in {"settle", "release"}
            for owner in filter(None, (team, entry["user"], entry["token"])):
                _count(sums.setdefault(owner, Counter()), kind, amount, int(entry["seconds"]))
            if kind != "credit":
                _count(gateway, kind, amount, int(entry["seconds"]))
        if quoted["reserve"] != sum(open_ones.values()) + quoted["settle"] + quoted["release"]:
            faults.append(f"{team}: quoted money is not reserved, spent or released: {quoted}, {open_ones}")
        for owner, counted in sums.items():
            faults += await _total_faults(redis, owner, counted)
        held = sums.get(team, Counter())["held:usd"]
        if held != sum(open_ones.values()):
            faults.append(f"{team}: held {held} is not the sum of the open reservations {open_ones}")
        faults += [f"{team}: {job} was closed {count} times" for job, count in closed.items() if count > 1]
    faults += await _total_faults(redis, keys.GATEWAY, gateway)
    faults += await _place_faults(redis, jobs)
    return faults


def _count(sums: Counter[str], kind: str, amount: int, seconds: int) -> None:
    """One entry into an owner's sums."""
    whole = {"jobs": 1, "usd": amount, "video_seconds": seconds}
    if kind in {"credit", "correction"}:
        sums["credit:usd" if kind == "credit" else "used:usd"] += amount
    for unit, count in whole.items() if kind in {"reserve", "settle", "release"} else ():
        sums[f"held:{unit}"] += count if kind == "reserve" else -count
        sums[f"used:{unit}"] += count if kind == "settle" else 0


async def _total_faults(redis: Any, owner: str, counted: Counter[str]) -> list[str]:
    stored = {
        name: int(value) for name, value in (await redis.hgetall(keys.total(owner))).items() if "told" not in name
    }
    names = {name for name in stored | counted if stored.get(name, 0) != counted[name]}
    negative = {name for name, value in stored.items() if value < 0}
    return [
        f"{owner}: {name} is {stored.get(name)}, entries say {counted[name]}" for name in sorted(names | negative)
    ]


async def _place_faults(redis: Any, jobs: list[Job]) -> list[str]:
    """Sets of live and queued jobs that are not what the records say."""
    faults = []
    for kind in ("team", "user"):
        for owner in {getattr(job, kind) for job in jobs}:
            own = [job for job in jobs if getattr(job, kind) == owner]
            live = {job.id for job in own if job.status not in ENDS}
            queued = {job.id for job in own if job.status is Status.QUEUED}
            if await redis.smembers(keys.live(owner)) != live or await redis.smembers(keys.queued(owner)) != queued:
                faults.append(f"{owner}: the places are not those of the jobs")
    return faults


async def slot_faults(redis: Any) -> list[str]:
    """Slots that an ended or finalizing job holds, and running jobs without one."""
    slots = set(await redis.zrange(keys.SLOTS, 0, -1))
    faults = []
    async for name in redis.scan_iter(match=keys.job("*"), count=1000):
        job = read_job(await redis.hgetall(name))
        ref = name.removeprefix(keys.JOB_PREFIX)
        if ref in slots and (job.status in ENDS or job.status is Status.FINALIZING):
            faults.append(f"{ref} is {job.status} and holds a slot")
        if ref not in slots and job.status in {Status.SUBMITTING, Status.RUNNING}:
            faults.append(f"{ref} is {job.status} and holds no slot")
    return faults
