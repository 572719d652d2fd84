"""`python -m benchmarks` (`./dev bench`): all figures of docs/benchmarks.md in one run."""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks import admission, growth, lag, overload
from benchmarks.figures import Figure, print_table
from benchmarks.machine import machine_facts
from benchmarks.processes import NotMeasured, say
from tests.support.redis_server import engine_under_test

Row = Callable[..., Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "admission": admission.measure,
    **{row: partial(lag.measure, row=row) for row in lag.WEBHOOKS},
    growth.ROW: growth.measure,
    overload.ROW: overload.measure,
}
FEWEST_JOBS = 1000
MAX_SECONDS = 600


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 after a measurement, 1 without one, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures Filmgate and its peers.")
    parser.add_argument("--row", choices=ROWS, help="this row only")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a result")
    parser.add_argument("--jobs", type=int, metavar="N", help=f"of the row {growth.ROW}: how many, at least 1000")
    parser.add_argument("--seconds", type=int, metavar="S", help=f"of the row {overload.ROW}: how long, 5 to 600")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(arguments)
    if args.jobs is not None:
        if args.row != growth.ROW or args.jobs < FEWEST_JOBS:
            parser.error(f"--jobs goes with --row {growth.ROW}, and is at least {FEWEST_JOBS}")
        ROWS[growth.ROW] = partial(growth.measure, jobs=args.jobs)
    if args.seconds is not None:
        if args.row != overload.ROW or not 5 <= args.seconds <= MAX_SECONDS:
            parser.error(f"--seconds goes with --row {overload.ROW}, and is 5 to {MAX_SECONDS}")
        ROWS[overload.ROW] = partial(overload.measure, seconds=args.seconds)
    facts = machine_facts(engine_under_test())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    began = time.monotonic()
    try:
        figures = asyncio.run(_measure([args.row] if args.row else list(ROWS), quick=args.quick))
    except NotMeasured as stop:
        print(stop, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("Stopped; everything that was started has ended.")
        return 130
    facts["took"] = f"{time.monotonic() - began:.0f} s{', --quick' if args.quick else ''}"
    if args.json:
        print(json.dumps({**facts, "figures": [figure.as_json() for figure in figures]}, indent=2))
    else:
        print_table(facts, figures)
    return 0


async def _measure(rows: list[str], *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    for name in rows:
        folder = Path(tempfile.mkdtemp(prefix="filmgate-bench-"))
        try:
            figures += await ROWS[name](folder, quick=quick)
        except NotMeasured as stop:
            raise NotMeasured(f"{name}: {stop}\nThe logs are in {folder}.") from None
        except BaseException:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)
    return figures


if __name__ == "__main__":
    sys.exit(main())
