"""`filmgate doctor`: is the whole installation as it should be, and what is to be done where it is not?"""

import asyncio
import logging
from dataclasses import asdict

import structlog
import typer
from rich.console import Console
from rich.text import Text

from app.cli.cells import printable
from app.cli.exits import FAILED
from app.cli.tables import AsJson, print_json

MARKS = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "fault": ("FAULT", "red"),
    "skipped": ("-", "dim"),
}


def doctor(*, as_json: AsJson = False) -> None:
    """Check settings, store, workers, fal, storage, clock, certificate, prices and alarms; exit 1 for a fault.

    Reads, and makes two trials: a file in the data directory and an object in the storage, both deleted again. Its
    calls to fal cost nothing. Warnings do not change the exit code.
    """
    from app.doctor.run import examine  # noqa: PLC0415  loads the gateway, which takes a second

    # What libraries and stores would log about a fault, the results say with a remedy.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    found = asyncio.run(examine())
    faulty = any(result.state == "fault" for result in found)
    if as_json:
        print_json({"ok": not faulty, "checks": [asdict(result) for result in found]})
    else:
        console = Console(highlight=False, soft_wrap=True)
        width = max(len(result.check) for result in found)
        for result in found:
            word, style = MARKS[result.state]
            line = Text.assemble((f"{word:<8}", style), f"{result.check:<{width}}  {printable(result.message)}")
            console.print(line)
            if result.remedy:
                console.print(Text(f"{'':<{width + 10}}→ {printable(result.remedy)}"))
    raise typer.Exit(FAILED if faulty else 0)
