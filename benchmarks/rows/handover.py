"""Row "handover": from a submission accepted by us to its POST received by fal, on an idle system."""

import asyncio
import random
import time
from pathlib import Path

from benchmarks.figures import Figure, Options, at_most, percentile
from benchmarks.gateway import working
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured

ROW = "handover"
PAUSES_S = (0.15, 0.35)  # between two submissions, at random: no rhythm that could meet ours
LAST_S = 5.0


async def measure(folder: Path, options: Options) -> list[Figure]:
    """One submission after the other; fal's own record says when each arrived. Both clocks are this machine's."""
    count = 20 if options.quick else 75
    async with working(folder, emulator=("--queue-seconds", "0", "--run-seconds", "0.01")) as gateway:
        await gateway.load_models_of_fal()
        sent: dict[str, tuple[float, float]] = {}
        async with gateway.served.client() as web:
            for body in bodies("handover", count):
                began = time.time()
                async with web.post("/v1/jobs", json=body) as answer:
                    await answer.read()
                    answer.raise_for_status()
                sent[body["input"]["prompt"]] = began, time.time()
                await asyncio.sleep(random.uniform(*PAUSES_S))  # noqa: S311  a pause
        await asyncio.sleep(LAST_S)
        received = {one["prompt"]: one["received_at"] for one in await gateway.requests()}
    if received.keys() != sent.keys():
        raise NotMeasured(f"fal received {len(received)} of {count} submissions.")
    after = sorted(1000 * (received[prompt] - accepted) for prompt, (_, accepted) in sent.items())
    whole = sorted(1000 * (received[prompt] - began) for prompt, (began, _) in sent.items())
    return [
        Figure(ROW, "from our reply to fal's receipt, p50", "ms", percentile(after, 0.5), target=at_most(25)),
        Figure(ROW, "from our reply to fal's receipt, p99", "ms", percentile(after, 0.99), target=at_most(100)),
        Figure(ROW, "from the caller's POST, p50", "ms", percentile(whole, 0.5)),
        Figure(ROW, "from the caller's POST, p99", "ms", percentile(whole, 0.99)),
    ]
