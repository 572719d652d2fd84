"""Row "lag": from a clip's end at fal to our `completed_at`, with 1,000 jobs of four minutes, by polling alone."""

import asyncio
from pathlib import Path

from benchmarks.figures import Figure, Options, Point, at_most
from benchmarks.gateway import working
from benchmarks.in_flight import Plan, fill, lags, learn, meter, until_ended

ROW = "lag"
QUEUE_S = 0.5
MARGIN_S = 5.0  # before the first end, for the reading of meters
MOST_POLLS = 40


async def measure(folder: Path, options: Options) -> list[Figure]:
    """A thousand jobs on one lane, whose ends are spread evenly over half a minute around four minutes.

    1. the store knows the ends of earlier jobs of the same run times
    2. all are submitted; CPU is read until the first job may end, and while they end
    3. each job's `completed_at` is compared with the emulator's own
    """
    plan = Plan(200, 25, 35) if options.quick else Plan(1000, 225, 255)
    async with working(folder, in_flight=plan.jobs, emulator=("--queue-seconds", str(QUEUE_S))) as gateway:
        await learn(gateway, plan, queue_s=QUEUE_S)
        cpu = await meter(gateway)
        took = await fill(gateway, plan)
        cpu.start()
        await asyncio.sleep(max(1.0, plan.shortest - MARGIN_S - took))
        flying = cpu.cores()
        cpu.start()
        await until_ended(gateway, plan)
        ending = cpu.cores()
        found = await lags(gateway, expected=plan.jobs)
    middle = (plan.shortest + plan.longest) / 2
    polls = found.polls_around(middle + QUEUE_S, within=2)
    flight = f"{plan.jobs:,} in flight"
    rate = plan.jobs / (plan.longest - plan.shortest)
    return [
        Figure(
            ROW, f"lag p50, {flight}", "s", found.p(0.5), target=at_most(0.8), point=Point("lag", "p50", plan.jobs)
        ),
        Figure(
            ROW, f"lag p99, {flight}", "s", found.p(0.99), target=at_most(1.6), point=Point("lag", "p99", plan.jobs)
        ),
        Figure(ROW, "lag, longest", "s", found.seconds[-1]),
        Figure(ROW, f"polls of a job of {middle:.0f} s", "", polls, target=at_most(MOST_POLLS)),
        Figure(ROW, "polls of a job, most", "", max(count for _, count in found.polls)),
        *(Figure(ROW, f"CPU of {role}, {flight}", "cores", used) for role, used in flying.items()),
        *(
            Figure(ROW, f"CPU of {role}, {rate:.0f} ending a second", "cores", used)
            for role, used in ending.items()
        ),
    ]
