"""`python -m benchmarks` (`./dev bench`): all figures of docs/performance.md in one run."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from app.telemetry import log_warnings_only
from benchmarks.charts import write_charts
from benchmarks.figures import Figure, Options
from benchmarks.machine import machine_facts
from benchmarks.processes import ROOT, NotMeasured, say
from benchmarks.report import Report, as_json, as_markdown, print_table, read_reports, write_page
from benchmarks.rows import (
    admission,
    crowd,
    fal_webhooks,
    growth,
    handover,
    idle,
    lag,
    life,
    overload,
    page,
    peers,
    status,
    streams,
)
from tests.support.redis_server import engine_under_test

MODULES = (
    admission,
    status,
    peers,
    handover,
    lag,
    crowd,
    fal_webhooks,
    life,
    streams,
    growth,
    idle,
    page,
    overload,
)
ROWS: dict[str, ModuleType] = {module.ROW: module for module in MODULES}
PAGE, CHARTS = ROOT / "docs" / "performance.md", ROOT / "docs" / "charts"
FEWEST_JOBS = 1000
SHORTEST_S, LONGEST_S = 5, 600


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 after a measurement, 1 without one, 2 for wrong usage, 130 on Ctrl-C."""
    args = _read(arguments)
    log_warnings_only()  # the stores are filled by the product's own code, in this process
    try:
        report = read_reports(args.read) if args.read else _measured(args)
    except NotMeasured as stop:
        print(stop, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("Stopped; everything that was started has ended.")
        return 130
    if args.json:
        print(as_json(report))
    elif args.markdown:
        print(as_markdown(report))
    else:
        print_table(report)
    if args.charts or args.write:
        for path in write_charts(args.charts or CHARTS, report.figures):
            say(f"Written: {path}")
    if args.write:
        write_page(PAGE, report)
        say(f"Written: {PAGE}")
    return 0


def _read(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures Filmgate and its peers.")
    add = parser.add_argument
    add("--row", choices=ROWS, action="append", help="this row only; may be repeated")
    add("--peers", action="store_true", help=f"with the row {peers.ROW}, whose peers are installed in .bootstrap")
    add("--quick", action="store_true", help="fewer rounds: a look, not a result")
    add("--jobs", type=int, metavar="N", help=f"of the row {growth.ROW}: how many, at least {FEWEST_JOBS}")
    add(
        "--seconds", type=int, metavar="S", help=f"of the row {overload.ROW}: how long, {SHORTEST_S} to {LONGEST_S}"
    )
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--markdown", action="store_true", help="print Markdown instead of a table")
    add("--charts", type=Path, metavar="FOLDER", help="write the charts there, as SVG")
    add("--write", action="store_true", help="put figures and charts into docs/performance.md and docs/charts")
    add(
        "--from",
        dest="read",
        type=Path,
        action="append",
        metavar="FILE",
        help="instead of measuring: the JSON of an earlier run; may be repeated, later files replace rows",
    )
    args = parser.parse_args(arguments)
    if args.jobs is not None and args.jobs < FEWEST_JOBS:
        parser.error(f"--jobs is at least {FEWEST_JOBS}")
    if args.seconds is not None and not SHORTEST_S <= args.seconds <= LONGEST_S:
        parser.error(f"--seconds is {SHORTEST_S} to {LONGEST_S}")
    return args


def _measured(args: argparse.Namespace) -> Report:
    names = args.row or [name for name in ROWS if name != peers.ROW or args.peers]
    facts = machine_facts(engine_under_test())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    began = time.monotonic()
    figures = asyncio.run(_measure(names, Options(args.quick, args.jobs, args.seconds)))
    facts["took"] = f"{time.monotonic() - began:.0f} s{', --quick' if args.quick else ''}"
    return Report(facts, figures)


async def _measure(names: list[str], options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="filmgate-bench-"))
        began = time.monotonic()
        try:
            figures += await ROWS[name].measure(folder, options)
        except NotMeasured as stop:
            raise NotMeasured(f"{name}: {stop}\nThe logs are in {folder}.") from None
        except BaseException:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)
        say(f"{name}: measured in {time.monotonic() - began:.0f} s")
    return figures


if __name__ == "__main__":
    sys.exit(main())
