"""Named points at which a test may kill the process, or the store, in the middle of its work.

Without the setting FILMGATE_CRASH a point is a comparison with None. With it, the setting names a directory of
tickets: files `<point>.<n>`. A point takes the ticket with the highest number; number 0 sends the signal written in
it. So `.2 .1 .0` let two processes pass and stop the third, whichever they are, and a restarted process finds no
ticket. The settings allow this only with an emulator of fal on this machine.
"""

import os
from pathlib import Path

LOG = "log"  # one line for each signal sent: the point, the number of the signal, the process id

_tickets: Path | None = None


def arm(tickets: Path | None) -> None:
    """Look for tickets in this directory from now on; None: never."""
    global _tickets  # noqa: PLW0603  points get nothing passed in, and must cost nothing
    _tickets = tickets


def crash_point(name: str) -> None:
    """Pass this point, unless a ticket kills the process."""
    if _tickets is not None:
        _take(_tickets, name)


def _take(tickets: Path, name: str) -> None:
    """Take the highest ticket, if there is one: only one process can delete a file.

    A ticket holds the number of the signal and a process id, 0 for the process that takes it: `9 0`.
    """
    for number in sorted((int(path.suffix[1:]) for path in tickets.glob(f"{name}.*")), reverse=True):
        ticket = tickets / f"{name}.{number}"
        try:
            text = ticket.read_text("ascii")
            ticket.unlink()
        except FileNotFoundError:
            continue  # another process was faster
        if number == 0:
            signal, pid = (int(word) for word in text.split())
            with (tickets / LOG).open("a", encoding="ascii") as log:
                log.write(f"{name} {signal} {os.getpid()}\n")
            os.kill(pid or os.getpid(), signal)
        return
