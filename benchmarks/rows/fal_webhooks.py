"""Row "fal-webhooks": from a clip's end at fal to our `completed_at`, 1,000 in flight, when fal sends webhooks."""

from pathlib import Path

from benchmarks.figures import Figure, Options, at_most
from benchmarks.gateway import working
from benchmarks.in_flight import Plan, fill_paused, lags, meter, until_ended

ROW = "fal-webhooks"


async def measure(folder: Path, options: Options) -> list[Figure]:
    """As the row "lag", with shorter jobs: each webhook makes its job due at once."""
    plan = Plan(200, 5, 15) if options.quick else Plan(1000, 5, 30)
    async with working(folder, in_flight=plan.jobs, webhooks=True) as gateway:
        cpu = await meter(gateway)
        await fill_paused(gateway, plan)
        cpu.start()
        await until_ended(gateway, plan)
        cores = cpu.cores()
        found = await lags(gateway, expected=plan.jobs)
    flight = f"{plan.jobs:,} in flight"
    return [
        Figure(
            ROW,
            f"lag p50, {flight}",
            "ms",
            1000 * found.p(0.5),
            target=at_most(150),
        ),
        Figure(ROW, "lag p99", "ms", 1000 * found.p(0.99), target=at_most(1000)),
        Figure(ROW, "lag, longest", "ms", 1000 * found.seconds[-1]),
        *(Figure(ROW, f"CPU of {role}", "cores", used) for role, used in cores.items()),
    ]
