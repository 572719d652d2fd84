"""Row "growth": CPU and time of the usual calls, and of a start, with many stored jobs, compared with ten."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from app.domain.accounts import USER_SCOPES, Scope
from app.store import keys
from app.store.admission import key_digest
from benchmarks.figures import Figure, Options, Point, at_most, times_the_peer
from benchmarks.filling import BATCH, Asker, Filler, Wire, digest
from benchmarks.gateway import Served, serving
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured, cpu_of, cpu_seconds, say
from benchmarks.up import started
from tests.support.waiting import wait_until

ROW = "growth"
JOBS = 20_000
QUICK_JOBS = 2_000
FEW = 10
USERS = 4
CHUNK = 20_000
CALLS = 100  # of each question in a round
ROUNDS, QUICK_ROUNDS = 4, 1
STEPS = (1_000, 10_000, 100_000)  # sizes on the way, for the charts
SAMPLES = 99  # of a hundred
LINE = "API and store"  # of the chart
PEER = f"the same with {FEW} jobs"
SUBMISSION, STATUS = "POST /v1/jobs", "GET /v1/jobs/{id}"
LIST, FILTERED = "GET /v1/jobs?limit=10", "GET /v1/jobs?status=succeeded&limit=10"
READS: dict[str, tuple[str, dict[str, str]]] = {
    LIST: ("/v1/jobs", {"limit": "10"}),
    FILTERED: ("/v1/jobs", {"limit": "10", "status": "succeeded"}),
    "GET /v1/me": ("/v1/me", {}),
    "GET /v1/usage?group_by=day": ("/v1/usage", {"group_by": "day"}),
}
PAGES: dict[str, dict[str, str]] = {  # full ones, which a store with ten jobs does not have
    "GET /v1/jobs?limit=50": {"limit": "50"},
    "GET /v1/jobs?status=succeeded&limit=50": {"limit": "50", "status": "succeeded"},
    "GET /v1/jobs?status=held, of which there is none": {"status": "held"},
}


@dataclass(frozen=True, slots=True)
class Side:
    """A gateway on a store of its own, a program that fills it, and a client with a key for the whole team."""

    served: Served
    filler: Filler
    askers: list[Asker]
    web: aiohttp.ClientSession


async def measure(folder: Path, options: Options) -> list[Figure]:
    """The same questions to a store with ten ended jobs and to one with many, in turns.

    1. two APIs, each on a store of its own; ten jobs in each
    2. fill the one; a job's memory is the difference of the store's, divided by the jobs in between
    3. ask each question many times, in rounds that alternate, submissions last; start a whole gateway on each
    """
    count = options.jobs or (QUICK_JOBS if options.quick else JOBS)
    sizes = [*(step for step in STEPS if step < count), count]
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        few, many = [await _side(stack, folder / name) for name in ("few", "many")]
        for side in (few, many):
            await side.filler.make(FEW)
        empty, made = await _memory(many.served), FEW
        for size in sizes:
            await _fill(many, size - made, size)
            made = size
            figures.append(_memory_figure(size, (await _memory(many.served) - empty) / (size - FEW), count))
            if size != count:
                figures.append(_cost_figure(SUBMISSION, await _alternate(few, many, SUBMISSION, rounds), size))
                await few.filler.make(FEW)  # the newest jobs have ended, on both sides
        parts = await _parts(many.served, many.askers[0], count)
        entry_us = await _add_up(many.served)
        reads = [_cost_figure(name, await _alternate(few, many, name, rounds), count) for name in (STATUS, *READS)]
        pages = [await _page_figure(many, name, query) for name, query in PAGES.items()]
        submission = _cost_figure(SUBMISSION, await _alternate(few, many, SUBMISSION, rounds), count)
        starts = [await _start(side, folder / f"up-{name}") for side, name in ((few, "few"), (many, "many"))]
    return [
        *reads,
        submission,
        Figure(ROW, f"the same, {FEW} jobs", "ms", submission.peer or 0.0, point=Point("submissions", LINE, FEW)),
        *pages,
        Figure(ROW, "filmgate up, until it is ready", "s", starts[1], starts[0], PEER),
        *figures,
        *(Figure(ROW, f"  of the memory {name}", "bytes", value) for name, value in parts.items()),
        Figure(ROW, "CPU of the store to add one entry to the sums of usage", "us", entry_us),
    ]


def _cost_figure(name: str, costs: tuple[float, float], size: int) -> Figure:
    peer, ours = costs
    point = Point("submissions", LINE, size) if name == SUBMISSION else None
    title = f"CPU of API and store, {name}, {size:,} jobs"
    return Figure(ROW, title, "ms", ours, peer, PEER, times_the_peer(1.2), point=point)


async def _page_figure(side: Side, name: str, query: dict[str, str]) -> Figure:
    times = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        await _ask(side.web, "GET", "/v1/jobs", params=query)
        times.append((time.perf_counter() - began) * 1000)
    return Figure(ROW, f"time of {name}, median", "ms", median(times), target=at_most(50))


def _memory_figure(size: int, memory: float, most: int) -> Figure:
    title = f"memory of the store for one of {size:,} ended jobs"
    target = at_most(2048) if size == most else None
    return Figure(ROW, title, "bytes", memory, target=target, point=Point("memory", "the store", size))


async def _side(stack: AsyncExitStack, folder: Path) -> Side:
    await asyncio.to_thread(folder.mkdir)
    served = await stack.enter_async_context(serving(folder, FILMGATE_UPSTREAM_CONCURRENCY=str(BATCH)))
    administration = served.inside.administration
    askers = []
    for number in range(USERS):
        user = await administration.add_user("benchmark", team=served.team, name=f"user {number}")
        made = await administration.add_key("benchmark", user=user.id)
        askers.append(Asker(served.team, user.id, made.record.id, digest(made.key)))
    wire = await Wire.open(served.store.unix_url.removeprefix("unix://"))
    stack.push_async_callback(wire.close)
    scopes = USER_SCOPES | {Scope.TEAM_READ}
    reader = await administration.add_key("benchmark", user=served.user, scopes=scopes)
    headers = {"Authorization": f"Bearer {reader.key}"}
    web = await stack.enter_async_context(aiohttp.ClientSession(served.url, headers=headers))
    return Side(served, Filler(wire, askers), askers, web)


async def _fill(side: Side, count: int, size: int) -> None:
    """Make so many jobs, up to this size; meanwhile the store writes its log without waiting for the disk."""
    redis, began = _redis(side.served), time.monotonic()
    await redis.config_set("appendfsync", "no")
    for made in range(0, count, CHUNK):
        await side.filler.make(min(CHUNK, count - made))
        done = min(count, made + CHUNK)
        say(f"growth: {size - count + done:,} jobs, {done / (time.monotonic() - began):.0f} a second")
    await redis.config_set("appendfsync", "always")

    async def rested() -> bool:
        return not (await redis.info("persistence"))["aof_rewrite_in_progress"]

    await wait_until(rested, "the store has written its log anew: what is measured next has the CPU", timeout=600)


async def _add_up(served: Served) -> float:
    """Microseconds of the store for one entry of the background work."""
    began, pages = cpu_seconds(served.store.pid), 0
    for team in await served.inside.stores.usage.behind():
        while await served.inside.stores.usage.fold(team):
            pages += 1
    return (cpu_seconds(served.store.pid) - began) * 1_000_000 / max(1, pages * 200)


async def _alternate(few: Side, many: Side, name: str, rounds: int) -> tuple[float, float]:
    """Milliseconds of CPU for one call, of both sides, which take turns; the first round warms up."""
    used = [[await _cost(side, name) for side in (few, many)] for _ in range(rounds + 1)]
    peer, ours = (sum(costs) / rounds for costs in zip(*used[1:], strict=True))
    return peer, ours


async def _cost(side: Side, name: str) -> float:
    """Milliseconds of CPU of API and store for one of many calls; a submitted job is cancelled afterwards."""
    processes = [side.served.api.pid, side.served.store.pid]
    calls = await _calls(side, name)
    before = cpu_of(processes)
    replies = [await _ask(side.web, method, path, **more) for method, path, more in calls]
    used = (cpu_of(processes) - before) * 1000 / len(calls)
    if name == SUBMISSION:
        for job in replies:
            await _ask(side.web, "POST", f"/v1/jobs/{job['id']}/cancel")
    return used


async def _calls(side: Side, name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and the rest of each call of a round."""
    if name == SUBMISSION:
        return [("POST", "/v1/jobs", {"json": body}) for body in bodies("growth", CALLS)]
    if name == STATUS:
        page = await _ask(side.web, "GET", "/v1/jobs", params=PAGES["GET /v1/jobs?limit=50"])
        ids = [job["id"] for job in page["data"]]
        return [("GET", f"/v1/jobs/{ids[number % len(ids)]}", {}) for number in range(CALLS)]
    path, query = READS[name]
    return [("GET", path, {"params": query})] * CALLS


async def _ask(web: aiohttp.ClientSession, method: str, path: str, **more: Any) -> Any:
    async with web.request(method, path, **more) as answer:
        if not answer.ok:
            raise NotMeasured(f"{method} {path}: {answer.status} {(await answer.text())[:300]}")
        return await answer.json()


async def _start(side: Side, folder: Path) -> float:
    """Seconds from `filmgate up` on this store to the first 200 of its probe."""
    await asyncio.to_thread(folder.mkdir)
    env = {name: value for name, value in side.served.env.items() if name != "FILMGATE_PORT"}
    async with started(folder, folder / "up.log", env) as up:
        return up.seconds


async def _memory(served: Served) -> int:
    info = await _redis(served).info("memory")
    return int(info["used_memory"])


async def _parts(served: Served, asker: Asker, count: int) -> dict[str, float]:
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
