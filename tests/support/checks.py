"""What must be true of the store after every test that used it."""

from typing import Any

from app.domain.jobs import ENDS, Status
from app.store import keys
from app.store.keys import LIFETIMES, PREFIX, Lifetime
from app.store.records import read_job

RQ_PREFIX = "rq:"
MAY_STAY = {Lifetime.PERMANENT, Lifetime.STANDING}


def lifetime_of(name: str) -> Lifetime | None:
    """The lifetime class of a key; None for a key nobody has declared."""
    rest = name.removeprefix(PREFIX)
    matching = [
        prefix for prefix in LIFETIMES if rest == prefix or (prefix.endswith(":") and rest.startswith(prefix))
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
    """Where sums, entries and jobs disagree; empty when every micro-dollar is in its place."""
    faults = []
    for team in await redis.smembers(keys.TEAMS):
        open_ones = {job: int(amount) for job, amount in (await redis.hgetall(keys.reservations(team))).items()}
        reserved, spent = await redis.hmget(keys.balance(team), "reserved", "spent")
        sums = {"reserve": 0, "settle": 0, "release": 0, "dispute": 0}
        closed: dict[str, int] = {}
        for _, entry in await redis.xrange(keys.ledger(team)):
            sums[entry["type"]] += int(entry["amount"])
            if entry["type"] in {"settle", "release"}:
                closed[entry["job"]] = closed.get(entry["job"], 0) + 1
        if int(reserved or 0) != sum(open_ones.values()):
            faults.append(f"{team}: reserved {reserved} is not the sum of the open reservations {open_ones}")
        if int(spent or 0) != sums["settle"]:
            faults.append(f"{team}: spent {spent} is not the sum of the settled entries {sums['settle']}")
        if sums["reserve"] != sum(open_ones.values()) + sums["settle"] + sums["release"]:
            faults.append(f"{team}: quoted money is not reserved, spent or released: {sums}, {open_ones}")
        faults += [f"{team}: {job} was closed {count} times" for job, count in closed.items() if count > 1]
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
