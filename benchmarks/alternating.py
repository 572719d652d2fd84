"""CPU of a server for one request, compared with a peer that gets the same load in turns."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Target, spread_of
from benchmarks.load import Order, send
from benchmarks.processes import cpu_seconds, listener, say

WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Measured:
    """A server's process, and the load that it gets: `order(label, count)` is a load of so many requests."""

    name: str
    pid: int
    order: Callable[[str, int], Order]


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds of CPU of the server and of the store for one request, and requests a second."""

    cpu_ms: float
    store_ms: float
    rate: float


@dataclass(frozen=True, slots=True)
class Bare:
    """The bare FastAPI application as a process."""

    url: str
    pid: int


@asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[Bare]:
    """`benchmarks/bare.py` for the length of the block."""
    async with listener("bare", folder) as (port, pid):
        yield Bare(f"http://127.0.0.1:{port}", pid)


async def alternate(
    row: str, servers: Sequence[Measured], store: int, *, rounds: int, count: int
) -> dict[str, list[Round]]:
    """The rounds of each server by its name: all are warmed up, then take their turns in each round.

    `store` is the process id of the store.
    """
    found: dict[str, list[Round]] = {server.name: [] for server in servers}
    for server in servers:
        await send(server.order("warm-up", WARM_UP))
    for number in range(1, rounds + 1):
        for server in servers:
            one = await _round(server, store, f"round-{number}", count)
            found[server.name].append(one)
            say(f"{row}: round {number} of {rounds}, {server.name}: {one.cpu_ms:.3f} ms, {one.rate:.0f} a second")
    return found


async def _round(server: Measured, store: int, label: str, count: int) -> Round:
    order = server.order(f"{server.name}-{label}".replace(" ", "-"), count)
    before, store_before = cpu_seconds(server.pid), cpu_seconds(store)
    sent = await send(order)
    used, store_used = cpu_seconds(server.pid) - before, cpu_seconds(store) - store_before
    return Round(used * 1000 / count, store_used * 1000 / count, count / sent.seconds)


def cpu_figure(row: str, name: str, ours: list[Round], peers: list[Round], peer: str, target: Target) -> Figure:
    """The medians of the rounds, with the lowest and the highest."""
    ms, peer_ms = [one.cpu_ms for one in ours], [one.cpu_ms for one in peers]
    return Figure(row, name, "ms", median(ms), median(peer_ms), peer, target, spread_of(ms), spread_of(peer_ms))
