"""Row "status": CPU of the API process for the status of a job, natively and as fal's clients poll it."""

from collections.abc import Callable
from pathlib import Path

import aiohttp

from benchmarks.alternating import Bare, Measured, alternate, bare, cpu_figure
from benchmarks.figures import Figure, Options, times_the_peer
from benchmarks.gateway import MODEL, Served, serving
from benchmarks.load import Order

ROW = "status"
PEER = "bare FastAPI, same JSON"
JOBS = 100


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Filmgate and the bare application, which returns Filmgate's own replies, are polled in turns."""
    rounds, count = (2, 1000) if options.quick else (5, 2500)
    async with serving(folder) as served, bare(folder) as peer:
        jobs = await served.submit(JOBS)
        for path in (_native, _fal):
            await _copy(served, peer, jobs, path)
        servers = [
            Measured("filmgate", served.api.pid, _polls(served.url, jobs, _native, served.key, 200)),
            Measured("bare", peer.pid, _polls(peer.url, jobs, _native, served.key, 200)),
            Measured("filmgate for fal", served.api.pid, _polls(served.url, jobs, _fal, served.key, 202)),
            Measured("bare for fal", peer.pid, _polls(peer.url, jobs, _fal, served.key, 202)),
        ]
        found = await alternate(ROW, servers, served.store.pid, rounds=rounds, count=count)
    target = times_the_peer(1.2)
    name = "CPU of the API, GET /fal/queue/…/status"
    return [
        cpu_figure(ROW, "CPU of the API, GET /v1/jobs/{id}", found["filmgate"], found["bare"], PEER, target),
        cpu_figure(ROW, name, found["filmgate for fal"], found["bare for fal"], PEER, target),
    ]


def _native(job: str) -> str:
    return f"/v1/jobs/{job}"


def _fal(job: str) -> str:
    return f"/fal/queue/{MODEL}/requests/{job}/status"


def _polls(
    url: str, jobs: list[str], path: Callable[[str], str], key: str, expected: int
) -> Callable[[str, int], Order]:
    def order(_: str, count: int) -> Order:
        return Order(url, [(path(jobs[number % len(jobs)]), None) for number in range(count)], key, expected)

    return order


async def _copy(served: Served, peer: Bare, jobs: list[str], path: Callable[[str], str]) -> None:
    """Give the peer Filmgate's reply for each job."""
    async with served.client() as web, aiohttp.ClientSession(peer.url) as other:
        for job in jobs:
            async with web.get(path(job)) as answer:
                reply = await answer.json()
            async with other.put(path(job), json=reply) as kept:
                kept.raise_for_status()
