"""Row "crowd": 10,000 jobs in flight on one worker process, by polling alone."""

import asyncio
from pathlib import Path

from benchmarks.figures import Figure, Options, Point, at_most
from benchmarks.gateway import working
from benchmarks.in_flight import Plan, fill_paused, lags, meter, until_ended

ROW = "crowd"
SIZES = (100, 10_000)
QUICK_SIZES = (100, 400)
BEFORE_S = 12.0  # after the clock runs, until the first job ends; CPU is read during the later part
SETTLE_S = 5.0
WINDOW_S = 15.0  # in which ends are counted
ENDING = 20.0  # jobs that end in one second


async def measure(folder: Path, options: Options) -> list[Figure]:
    """Each size in an installation of its own.

    So many are in flight, and twenty of them end in each second: those of the first fifteen seconds are compared
    with fal's own record. A hundred are for the chart.
    """
    found: list[Figure] = []
    for size in QUICK_SIZES if options.quick else SIZES:
        place = folder / str(size)
        await asyncio.to_thread(place.mkdir)
        found += await _with(place, size)
    return found


async def _with(folder: Path, size: int) -> list[Figure]:
    plan = Plan(size, BEFORE_S, BEFORE_S + size / ENDING)
    ending = min(size, int(WINDOW_S * ENDING))
    async with working(folder, in_flight=size) as gateway:
        cpu = await meter(gateway)
        await fill_paused(gateway, plan)
        await asyncio.sleep(SETTLE_S)
        cpu.start()
        await asyncio.sleep(BEFORE_S - SETTLE_S)
        await until_ended(gateway, Plan(size, BEFORE_S, BEFORE_S + WINDOW_S), leave=size - ending)
        cores = cpu.cores()
        late = await lags(gateway, expected=ending)
    flight = f"{size:,} in flight"
    largest = size == SIZES[-1]
    return [
        Figure(ROW, f"lag p50, {flight}", "s", late.p(0.5), point=Point("lag", "p50", size)),
        Figure(
            ROW,
            f"lag p99, {flight}",
            "s",
            late.p(0.99),
            target=at_most(10) if largest else None,
            point=Point("lag", "p99", size),
        ),
        *(
            Figure(
                ROW, f"CPU of {role}, {flight}", "cores", used, target=at_most(1) if _judged(role, size) else None
            )
            for role, used in cores.items()
        ),
    ]


def _judged(role: str, size: int) -> bool:
    return role == "the lane" and size == SIZES[-1]
