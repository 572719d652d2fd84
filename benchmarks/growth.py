"""Row "growth": the cost of a probe, a report, lists and a start with many jobs, compared with ten."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from app.domain.accounts import USER_SCOPES, Scope
from app.store import keys
from app.store.admission import key_digest
from benchmarks.figures import Figure
from benchmarks.filling import BATCH, Asker, Filler, Wire, digest
from benchmarks.gateway import Served, serving
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured, cpu_seconds, end, free_port, running, say

ROW = "growth"
JOBS = 100_000
QUICK_JOBS = 10_000
FEW = 10
USERS = 4
ROUNDS = 7
CHUNK = 20_000
START_SECONDS = 90.0
BEAT_SECONDS = 5.0
ADMIN_KEY = "benchmark-only-1f0be9c15b2e82ed4adb44b7cdbe322e"
PEER = f"the same with {FEW} jobs"
SAMPLES = 99  # of a hundred
READS = {
    "GET /readyz": ("/readyz", {}),
    "GET /v1/admin/status": ("/v1/admin/status", {}),
    "GET /v1/jobs, 50 of them": ("/v1/jobs", {"limit": "50"}),
    "GET /v1/jobs?status=held, of which there is none": ("/v1/jobs", {"status": "held"}),
    "GET /v1/usage of the month by day": ("/v1/usage", {"group_by": "day"}),
    "GET /v1/usage of the month by key": ("/v1/usage", {"group_by": "key"}),
    "GET /v1/events, 100 of them": ("/v1/events", {"limit": "100"}),
    "GET /v1/me": ("/v1/me", {}),
}
SUBMISSION = "POST /v1/jobs"
START = "filmgate up, until it is ready"
PROBE_CPU = "CPU of the store for one GET /readyz"
Times = dict[str, float]


async def measure(folder: Path, *, quick: bool, jobs: int | None = None) -> list[Figure]:
    """The same questions to a store with ten ended jobs, and to one with many.

    1. an API on a store of its own, and workers' heartbeats, so that it is ready
    2. fill it, and ask each question several times; start a whole gateway on it
    3. what a job takes of the store's memory is the difference between the two, divided by the jobs in between
    """
    count = jobs or (QUICK_JOBS if quick else JOBS)
    async with serving(folder, FILMGATE_ADMIN_KEY=ADMIN_KEY, FILMGATE_UPSTREAM_CONCURRENCY=str(BATCH)) as served:
        wire = await Wire.open(served.store.unix_url.removeprefix("unix://"))
        askers = await _askers(served)
        filler = Filler(wire, askers)
        await filler.make(FEW)
        few = await _asked(served, folder / "few")
        before = await _memory(served)
        seconds, cpu = await _fill(served, filler, count - FEW)
        after = await _memory(served)
        parts = await _parts(served, askers[0], count)
        entry_us = await _add_up(served)
        many = await _asked(served, folder / "many")
        await wire.close()
    took = [
        Figure(
            ROW,
            f"store memory for one of {count:,} ended jobs",
            "bytes",
            (after - before) / (count - FEW),
            aim="2,000",
        ),
        *(Figure(ROW, f"  of it {name}", "bytes", value) for name, value in parts.items()),
        Figure(ROW, "CPU of the store for one job's whole life", "ms", cpu * 1000 / (count - FEW)),
        Figure(ROW, "CPU of the store to add one entry to the sums of usage", "us", entry_us),
        Figure(ROW, "jobs made in one second", "1/s", (count - FEW) / seconds),
    ]
    units = {START: "s"}
    return [
        *(Figure(ROW, name, units.get(name, "ms"), many[name], few[name], PEER) for name in many),
        *took,
    ]


async def _askers(served: Served) -> list[Asker]:
    """Users of the key's team, so that its lists and reports contain their jobs."""
    administration = served.inside.administration
    (team,) = await administration.teams()
    found = []
    for number in range(USERS):
        user = await administration.add_user("benchmark", team=team.id, name=f"user {number}")
        made = await administration.add_key("benchmark", user=user.id)
        found.append(Asker(team.id, user.id, made.record.id, digest(made.key)))
    return found


async def _reader(served: Served) -> str:
    """A key with access to the whole team."""
    administration = served.inside.administration
    user = (await administration.users())[0]
    made = await administration.add_key("benchmark", user=user.id, scopes=USER_SCOPES | {Scope.TEAM_READ})
    return made.key


async def _fill(served: Served, filler: Filler, count: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of the store."""
    began, cpu = time.monotonic(), cpu_seconds(served.store.pid)
    for made in range(0, count, CHUNK):
        await filler.make(min(CHUNK, count - made))
        done = min(count, made + CHUNK)
        say(f"growth: {done:,} of {count:,} jobs, {done / (time.monotonic() - began):.0f} a second")
    return time.monotonic() - began, cpu_seconds(served.store.pid) - cpu


async def _add_up(served: Served) -> float:
    """Microseconds of the store for one entry of the background work."""
    began, pages = cpu_seconds(served.store.pid), 0
    (team,) = await served.inside.stores.usage.behind()
    while await served.inside.stores.usage.fold(team):
        pages += 1
    return (cpu_seconds(served.store.pid) - began) * 1_000_000 / max(1, pages * 200)


async def _asked(served: Served, folder: Path) -> Times:
    """Milliseconds of each question, the median of several; seconds of a start."""
    found: Times = {}
    headers = {"Authorization": f"Bearer {await _reader(served)}"}
    async with _beating(served), aiohttp.ClientSession(served.url, headers=headers) as web:
        for name, (path, query) in READS.items():
            admin = {"Authorization": f"Bearer {ADMIN_KEY}"} if "/admin/" in path else None
            found[name] = await _median(web, "GET", path, params=query, headers=admin)
        before = cpu_seconds(served.store.pid)
        for _ in range(SAMPLES):
            await _ask(web, "GET", "/readyz")
        found[PROBE_CPU] = (cpu_seconds(served.store.pid) - before) * 1000 / SAMPLES
        found[SUBMISSION] = median([await _submit(web, body) for body in bodies(f"growth-{folder.name}", ROUNDS)])
    found[START] = await _start(served, folder)
    return found


async def _median(web: aiohttp.ClientSession, method: str, path: str, **more: Any) -> float:
    return median([await _ask(web, method, path, **more) for _ in range(ROUNDS)])


async def _submit(web: aiohttp.ClientSession, body: dict[str, Any]) -> float:
    """Milliseconds of a submission; its job is cancelled, so that the line stays the same."""
    began = time.perf_counter()
    async with web.post("/v1/jobs", json=body) as answer:
        job = await answer.json()
    took = (time.perf_counter() - began) * 1000
    await _ask(web, "POST", f"/v1/jobs/{job['id']}/cancel")
    return took


async def _ask(web: aiohttp.ClientSession, method: str, path: str, **more: Any) -> float:
    began = time.perf_counter()
    async with web.request(method, path, **more) as answer:
        text = await answer.text()
        if not answer.ok:
            raise NotMeasured(f"{method} {path}: {answer.status} {text[:300]}")
    return (time.perf_counter() - began) * 1000


@asynccontextmanager
async def _beating(served: Served) -> AsyncIterator[None]:
    """Heartbeats of workers: without them no probe gets 200."""

    async def beat() -> None:
        while True:
            for role in ("lanes", "work", "deliveries"):
                await served.inside.stores.heartbeats.beat(f"benchmark:{role}", role=role)
            await asyncio.sleep(BEAT_SECONDS)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.2)
    try:
        yield
    finally:
        beating.cancel()


async def _start(served: Served, folder: Path) -> float:
    """Seconds from the command to the first 200 of its probe."""
    folder.mkdir()  # noqa: ASYNC240  nothing else is going on
    port = free_port(together=2)  # the emulator takes the second
    env = {**served.env, "FILMGATE_PORT": str(port), "FILMGATE_DATA_DIR": str(folder / "data")}
    began = time.monotonic()
    async with running("app.cli", "up", env=env, log=folder / "up.log") as process, aiohttp.ClientSession() as web:
        while time.monotonic() < began + START_SECONDS:
            if process.returncode is not None:
                break
            try:
                async with web.get(f"http://127.0.0.1:{port}/readyz", timeout=aiohttp.ClientTimeout(2)) as answer:
                    if answer.ok:
                        seconds = time.monotonic() - began
                        await end(process)
                        return seconds
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
    raise NotMeasured(f"`filmgate up` was not ready: {(folder / 'up.log').read_text('utf-8')[-1000:]}")


async def _memory(served: Served) -> int:
    info = await _redis(served).info("memory")
    return int(info["used_memory"])


async def _parts(served: Served, asker: Asker, count: int) -> Times:
    """The memory of a job by kind of key, in bytes, as the store estimates it."""
    redis, team = _redis(served), asker.team

    async def usage(name: str) -> int:
        return int(await redis.memory_usage(name, samples=0) or 0)

    ids: list[str] = await redis.zrevrange(keys.team_jobs(team), 0, SAMPLES)
    records = [await usage(keys.job(f"{team}/{job_id}")) for job_id in ids]
    users = set(await redis.smembers(keys.team_users(team)))
    repeat = keys.idempotency(team, asker.user, key_digest(digest("idempotency 0")))
    return {
        "its record": sum(records) / len(records),
        "its events": await usage(keys.events(team)) / count,
        "its entries in the ledger": await usage(keys.ledger(team)) / count,
        "its idempotency key": await usage(repeat),
        "its places in lists": (
            await usage(keys.team_jobs(team)) + sum([await usage(keys.user_jobs(team, user)) for user in users])
        )
        / count,
    }


def _redis(served: Served) -> Any:
    return served.inside.stores.redis
