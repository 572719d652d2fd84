"""Row "admission": CPU of the API process for an accepted submission, natively and as fal's clients send it."""

from pathlib import Path
from statistics import median

from benchmarks.alternating import Measured, alternate, bare, cpu_figure
from benchmarks.figures import Figure, Options, at_most, spread_of, times_the_peer
from benchmarks.gateway import MODEL, serving
from benchmarks.load import Order, submissions

ROW = "admission"
PEER = "bare FastAPI, same model and body"
NATIVE, FAL = "/v1/jobs", f"/fal/queue/{MODEL}"
STATUS = {NATIVE: 202, FAL: 200}


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Filmgate and the bare application take the same submissions in turns, at both paths."""
    rounds, count = (2, 1000) if options.quick else (5, 2500)
    async with serving(folder) as served, bare(folder) as peer:
        servers = [
            *(_measured(f"filmgate {path}", served.api.pid, served.url, path, served.key) for path in STATUS),
            *(_measured(f"bare {path}", peer.pid, peer.url, path, served.key) for path in STATUS),
        ]
        found = await alternate(ROW, servers, served.store.pid, rounds=rounds, count=count)
    native, fal = found[f"filmgate {NATIVE}"], found[f"filmgate {FAL}"]
    bare_native, bare_fal = found[f"bare {NATIVE}"], found[f"bare {FAL}"]
    rates, peer_rates = [one.rate for one in native], [one.rate for one in bare_native]
    store = [one.store_ms for one in native]
    return [
        cpu_figure(ROW, f"CPU of the API, POST {NATIVE}", native, bare_native, PEER, times_the_peer(1.5)),
        cpu_figure(ROW, "CPU of the API, POST /fal/queue/…", fal, bare_fal, PEER, times_the_peer(1.7)),
        Figure(
            ROW, "CPU of the store for one job", "ms", median(store), target=at_most(0.2), spread=spread_of(store)
        ),
        Figure(
            ROW,
            "accepted in one second, one process, 16 connections",
            "1/s",
            median(rates),
            median(peer_rates),
            PEER,
            None,
            spread_of(rates),
            spread_of(peer_rates),
        ),
    ]


def _measured(name: str, pid: int, url: str, path: str, key: str) -> Measured:
    def order(label: str, count: int) -> Order:
        return Order(url, submissions(label.replace("/", "-"), count, path), key, STATUS[path])

    return Measured(name, pid, order)
