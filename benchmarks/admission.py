"""Row "admission": CPU of the API process for an accepted submission, compared with a bare FastAPI endpoint."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure
from benchmarks.gateway import serving
from benchmarks.load import Order, bodies, send
from benchmarks.processes import cpu_seconds, environment, free_port, listening, running, say

ROW = "admission"
WARM_UP = 500
PEER = "bare FastAPI, same model and body"


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two servers that are measured in turns."""

    name: str
    url: str
    key: str | None
    pid: int


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds of CPU per request, and requests per second."""

    cpu_ms: float
    rate: float
    store_ms: float


async def measure(folder: Path, *, quick: bool) -> list[Figure]:
    """Both servers take the same load in turns; the figures are medians over the rounds.

    1. start both, and warm both up
    2. in each round, first the one and then the other: CPU before, the load from a third process, CPU after
    """
    rounds, count = (3, 1000) if quick else (5, 3000)
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(folder))
        port = free_port()
        log = folder / "bare.log"
        bare = await stack.enter_async_context(running("benchmarks.bare", str(port), env=environment(), log=log))
        await listening(bare, port, log)
        servers = (
            Server("filmgate", served.url, served.key, served.api.pid),
            Server("bare", f"http://127.0.0.1:{port}", served.key, bare.pid),
        )
        measured: dict[str, list[Round]] = {server.name: [] for server in servers}
        for server in servers:
            say(f"admission: warming {server.name} up with {WARM_UP} requests")
            await _round(server, "warm-up", WARM_UP, served.store.pid)
        for number in range(1, rounds + 1):
            for server in servers:
                one = await _round(server, f"round-{number}", count, served.store.pid)
                measured[server.name].append(one)
                seen_here = f"{one.cpu_ms:.3f} ms, {one.rate:.0f} a second"
                say(f"admission: round {number} of {rounds}, {server.name}: {seen_here}")
    return _figures(measured["filmgate"], measured["bare"])


async def _round(server: Server, label: str, count: int, store_pid: int) -> Round:
    order = Order(f"{server.url}/v1/jobs", bodies(f"{server.name}-{label}", count), server.key)
    before, store_before = cpu_seconds(server.pid), cpu_seconds(store_pid)
    sent = await send(order)
    used, store_used = cpu_seconds(server.pid) - before, cpu_seconds(store_pid) - store_before
    return Round(used * 1000 / count, count / sent.seconds, store_used * 1000 / count)


def _figures(ours: list[Round], peers: list[Round]) -> list[Figure]:
    def spread(values: list[float]) -> tuple[float, float]:
        return min(values), max(values)

    ms, peer_ms = [one.cpu_ms for one in ours], [one.cpu_ms for one in peers]
    rates, peer_rates = [one.rate for one in ours], [one.rate for one in peers]
    return [
        Figure(
            ROW,
            "CPU of the API for one accepted submission",
            "ms",
            median(ms),
            median(peer_ms),
            PEER,
            "ratio at most 2.5, later 1.5",
            spread(ms),
            spread(peer_ms),
        ),
        Figure(
            ROW,
            "accepted in one second, one process, 16 connections",
            "1/s",
            median(rates),
            median(peer_rates),
            PEER,
            "",
            spread(rates),
            spread(peer_rates),
        ),
        Figure(
            ROW,
            "CPU of the store for the same",
            "ms",
            median(one.store_ms for one in ours),
            spread=spread([one.store_ms for one in ours]),
        ),
    ]
