"""From completion at fal to our `completed_at`, with a thousand jobs in flight on one lane.

Row "lag" is by polling alone; row "hints" is with fal's webhooks, each of which makes its job due at once.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.figures import Figure
from benchmarks.gateway import Served, serving
from benchmarks.load import Order, bodies, send
from benchmarks.processes import NotMeasured, cpu_seconds, environment, free_port, listening, running, say
from tests.support.processes import children
from workers.poll import MAX_INTERVAL_MS

WEBHOOKS = {"lag": "off", "hints": "on"}
WORKERS = 2
PAGE = 100
SUBMIT_SECONDS = 90.0
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of jobs, and their run times: evenly from `shortest` to `longest` seconds."""

    jobs: int
    shortest: float
    longest: float

    def bodies(self) -> list[dict[str, Any]]:
        """The submissions; each prompt sets its run time in the emulator."""
        made = bodies("lag", self.jobs)
        step = (self.longest - self.shortest) / self.jobs
        for number, body in enumerate(made):
            body["input"]["prompt"] += f" [emu:run:{self.shortest + number * step:.3f}]"
        return made


@dataclass
class Meter:
    """CPU of the processes by role, read twice: the cores between two readings."""

    pids: dict[str, list[int]]
    _before: dict[str, float] = field(default_factory=dict)
    _began: float = 0.0

    def start(self) -> None:
        """The first reading."""
        self._before = self._read()
        self._began = time.monotonic()

    def cores(self) -> dict[str, float]:
        """Cores used by each role since `start`."""
        seconds = time.monotonic() - self._began
        return {role: (used - self._before[role]) / seconds for role, used in self._read().items()}

    def _read(self) -> dict[str, float]:
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.pids.items()}


async def measure(folder: Path, *, row: str, quick: bool) -> list[Figure]:
    """A thousand jobs, one lane; `row` says whether fal sends webhooks.

    1. the emulator's clock is paused while the jobs are submitted, so that none ends before all are in flight
    2. the clock runs: CPU is read from then until the first job may end
    3. when all have ended, each job's `completed_at` is compared with the emulator's own
    """
    plan = Plan(300, 15, 25) if quick else Plan(1000, 30, 60)
    async with AsyncExitStack() as stack:
        port = free_port()
        fal = f"http://127.0.0.1:{port}"
        log = folder / "emulator.log"
        options = ("--no-clips", "--concurrency", str(2 * plan.jobs), "--queue-seconds", "0.5")
        emulator = await stack.enter_async_context(
            running("app.emulator", "--port", str(port), *options, env=environment(), log=log)
        )
        await listening(emulator, port, log)
        served = await stack.enter_async_context(
            serving(
                folder,
                FAL_KEY="benchmark:key",
                FILMGATE_FAL_QUEUE_URL=fal,
                FILMGATE_FAL_REST_URL=fal,
                FILMGATE_UPSTREAM_CONCURRENCY=str(plan.jobs),
                FILMGATE_FAL_WEBHOOKS=WEBHOOKS[row],
                FILMGATE_LANES="1",
                FILMGATE_WORKERS=str(WORKERS),
            )
        )
        web = await stack.enter_async_context(aiohttp.ClientSession())
        supervisor = await stack.enter_async_context(running("workers", env=served.env, log=folder / "workers.log"))
        meter = Meter(
            {
                "lane": await _children(supervisor.pid, "lanes", 2),  # the active one, and its spare
                "work": await _children(supervisor.pid, "work", WORKERS),
                "emulator": [emulator.pid],
                "store": [served.store.pid],
            }
        )
        await _fill(served, web, fal, plan)
        polled, began = sum(one["polls"] for one in await _books(web, fal)), time.monotonic()
        meter.start()
        await asyncio.sleep(plan.shortest - 1)  # a margin, because reading fal's requests takes a moment
        flying = meter.cores()
        polls = sum(one["polls"] for one in await _books(web, fal)) - polled
        rate = polls / (time.monotonic() - began)
        meter.start()
        await _all_ended(served, plan)
        ending = meter.cores()
        lags = await _lags(served, web, fal, plan)
    return _figures(row, plan, lags, rate, flying, ending)


async def _children(supervisor: int, queue: str, count: int) -> list[int]:
    """The process ids of the supervisor's children on this queue, once all of them are there."""
    for _ in range(200):
        pids = [pid for pid, command in children(supervisor) if queue in command.split("\0")]
        if len(pids) == count:
            return pids
        await asyncio.sleep(0.05)
    raise NotMeasured(f"The workers on the queue {queue} did not start.")


async def _fill(served: Served, web: aiohttp.ClientSession, fal: str, plan: Plan) -> None:
    """Submits everything while fal's clock is paused, then resumes it."""
    await _post(web, f"{fal}/emulator/pause")
    say(f"lag: submitting {plan.jobs} jobs")
    began = time.monotonic()
    await send(Order(f"{served.url}/v1/jobs", plan.bodies(), served.key))
    admitted = time.monotonic() - began
    while (counts := await served.inside.stores.due.counts())["due_poll"] < plan.jobs:
        if time.monotonic() - began > SUBMIT_SECONDS or counts["held"]:
            raise NotMeasured(f"After {time.monotonic() - began:.0f} s the jobs are not all in flight: {counts}")
        await asyncio.sleep(0.25)
    flying = time.monotonic() - began
    say(f"lag: admitted after {admitted:.1f} s, all in flight after {flying:.1f} s; now fal's clock runs")
    await asyncio.sleep(
        MAX_INTERVAL_MS / 1000
    )  # the burst of submissions is over, polls are at their longest interval
    await _post(web, f"{fal}/emulator/resume")


async def _post(web: aiohttp.ClientSession, url: str) -> None:
    async with web.post(url) as answer:
        answer.raise_for_status()


async def _all_ended(served: Served, plan: Plan) -> None:
    """Waits until nothing is in flight; checks once a second."""
    end = time.monotonic() + plan.longest - plan.shortest + GRACE_SECONDS
    reported_at = time.monotonic()
    while True:
        counts = await served.inside.stores.due.counts()
        left = counts["due_poll"] + counts["due_finalize"]
        if not left:
            return
        if time.monotonic() > end:
            raise NotMeasured(f"{left} jobs had not ended {GRACE_SECONDS:.0f} s after their time: {counts}")
        if time.monotonic() - reported_at > 10:
            say(f"lag: {left} of {plan.jobs} still in flight")
            reported_at = time.monotonic()
        await asyncio.sleep(1)


async def _books(web: aiohttp.ClientSession, fal: str) -> list[dict[str, Any]]:
    """Every request that the emulator accepted."""
    async with web.get(f"{fal}/emulator/requests") as answer:
        answer.raise_for_status()
        found: list[dict[str, Any]] = (await answer.json())["requests"]
        return found


async def _lags(served: Served, web: aiohttp.ClientSession, fal: str, plan: Plan) -> list[float]:
    """Seconds from completion at the emulator to ours, for every job; both clocks are this machine's."""
    books = await _books(web, fal)
    truth = {one["prompt"]: one["completed_at"] for one in books}
    lags = []
    for job in await _jobs(served, web):
        if job["status"] != "succeeded":
            raise NotMeasured(f"A job ended as {job['status']}: {job['error']}")
        lags.append(datetime.fromisoformat(job["completed_at"]).timestamp() - truth[job["input"]["prompt"]])
    if len(lags) != plan.jobs or len(books) != plan.jobs:
        raise NotMeasured(f"{len(lags)} jobs and {len(books)} requests at fal, not {plan.jobs}.")
    return sorted(lags)


async def _jobs(served: Served, web: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """Every job, as `GET /v1/jobs` shows it."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(PAGE)}
    while True:
        headers = {"Authorization": f"Bearer {served.key}"}
        async with web.get(f"{served.url}/v1/jobs", params=query, headers=headers) as answer:
            answer.raise_for_status()
            page = await answer.json()
        found += page["data"]
        if not page["has_more"]:
            return found
        query["cursor"] = page["next_cursor"]


def _figures(
    row: str, plan: Plan, lags: list[float], polls: float, flying: dict[str, float], ending: dict[str, float]
) -> list[Figure]:
    interval = MAX_INTERVAL_MS / 1000
    peer = f"only waiting for the next poll, every {interval:g} s (computed)"
    load = f"{plan.jobs} in flight on one lane"
    rate = plan.jobs / (plan.longest - plan.shortest)
    lag = [
        Figure(row, f"lag p50, {load}", "s", median(lags), interval / 2, peer),
        Figure(row, "lag p99", "s", lags[int(len(lags) * 0.99)], interval * 0.99, peer, "under 3 s"),
        Figure(row, "lag, longest", "s", lags[-1], interval, peer),
        Figure(row, f"status polls at fal, {plan.jobs} in flight", "1/s", polls),
    ]
    aims = {"lane": "under 1 core"}
    names = {"lane": "the lane", "work": f"{WORKERS} work processes", "emulator": "the emulator"}
    names["store"] = "the store"
    return lag + [
        Figure(row, f"CPU of {names[role]}, {when}", "cores", cores[role], aim=aims.get(role, ""))
        for when, cores in ((f"{plan.jobs} in flight", flying), (f"{rate:.0f} ending a second", ending))
        for role in names
    ]
