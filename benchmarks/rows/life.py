"""Row "life": CPU of all processes for one job, from its submission to its delivered webhook."""

import asyncio
import time
from pathlib import Path
from statistics import mean

from benchmarks.figures import Figure, Options, at_most
from benchmarks.gateway import Working, working
from benchmarks.load import bodies
from benchmarks.processes import NotMeasured, cpu_of, cpu_seconds, say, tree
from tests.support.receiver import Receiver

ROW = "life"
RATE = 10.0  # submissions in one second
IDLE_S = 10.0
WARM_UP = 20
GRACE_S = 30.0


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Short jobs at a steady rate, each with a webhook of its own; fal sends webhooks too, so few polls are needed.

    1. CPU of the idle system, which is subtracted
    2. submissions at a steady rate, until the last webhook has been delivered
    """
    count = 50 if options.quick else 200
    times = ("--queue-seconds", "0", "--run-seconds", "0.2")
    async with (
        Receiver() as receiver,
        working(folder, emulator=times, webhooks=True, FILMGATE_EGRESS_ALLOW="127.0.0.1") as gateway,
    ):
        await _run(gateway, receiver, WARM_UP)
        before = gateway.cpu_seconds()
        await asyncio.sleep(IDLE_S)
        idle = (gateway.cpu_seconds() - before) / IDLE_S
        parts_before, began = await _parts(gateway), time.monotonic()
        await _run(gateway, receiver, count)
        seconds = time.monotonic() - began
        parts = {name: used - parts_before[name] for name, used in (await _parts(gateway)).items()}
        polls = mean(one["polls"] for one in await gateway.requests())
    whole = sum(parts.values()) - idle * seconds
    return [
        Figure(ROW, "CPU of all processes for one job", "ms", 1000 * whole / count, target=at_most(20)),
        *(Figure(ROW, f"  {name}, with its idle share", "ms", 1000 * used / count) for name, used in parts.items()),
        Figure(ROW, "CPU of the idle system, which is subtracted", "cores", idle),
        Figure(ROW, "polls of a job", "", polls),
    ]


async def _parts(gateway: Working) -> dict[str, float]:
    """CPU seconds of each part."""
    roles = {role: cpu_of(await gateway.pids(role)) for role in ("lanes", "work", "deliveries")}
    return {
        "API": cpu_seconds(gateway.served.api.pid),
        "store": cpu_seconds(gateway.served.store.pid),
        **roles,
        "supervisor": cpu_of(tree(gateway.supervisor.pid)) - sum(roles.values()),
    }


async def _run(gateway: Working, receiver: Receiver, count: int) -> None:
    """Submits at a steady rate, and waits until each job's end was delivered."""
    before, began = len(receiver.requests), time.monotonic()
    async with gateway.served.client() as web:
        for number, body in enumerate(bodies(f"life-{before}", count)):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            async with web.post("/v1/jobs", json={**body, "webhook_url": receiver.url}) as answer:
                answer.raise_for_status()
    end = time.monotonic() + GRACE_S
    while len(receiver.requests) < before + count:
        if time.monotonic() > end:
            raise NotMeasured(f"Only {len(receiver.requests) - before} of {count} webhooks were delivered.")
        await asyncio.sleep(0.1)
    say(f"life: {count} jobs in {time.monotonic() - began:.0f} s")
