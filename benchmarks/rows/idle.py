"""Row "idle": memory and CPU of `filmgate up` with the emulator and no jobs, and the time until it is ready."""

import asyncio
import time
from pathlib import Path

from benchmarks.figures import Figure, Options, at_most
from benchmarks.processes import cpu_of, pss_bytes, tree
from benchmarks.up import started

ROW = "idle"
SETTLE_S = 8.0


async def measure(folder: Path, options: Options) -> list[Figure]:
    """The first start makes the data directory; the second is measured, then the idle processes."""
    seconds = 10.0 if options.quick else 20.0
    async with started(folder, folder / "up-first.log"):
        pass
    async with started(folder, folder / "up.log") as up:
        await asyncio.sleep(SETTLE_S)
        before, began = cpu_of(tree(up.pid)), time.monotonic()
        await asyncio.sleep(seconds)
        used = (cpu_of(tree(up.pid)) - before) / (time.monotonic() - began)
        processes = tree(up.pid)
        memory = sum(map(pss_bytes, processes))
    return [
        Figure(ROW, f"memory (PSS) of all {len(processes)} processes", "MB", memory / 1e6, target=at_most(350)),
        Figure(ROW, "CPU of all processes", "% of a core", 100 * used, target=at_most(2)),
        Figure(ROW, "from the command to the first 200 of its probe", "s", up.seconds, target=at_most(4)),
    ]
