"""Exit codes, the exception of a failed command, and what to do when nobody reads on."""

import os
import sys
from contextlib import suppress

FAILED = 1
CONFIGURATION = 78


class Failure(Exception):
    """The command failed; the message is one sentence for the person at the terminal."""


def leave_stdout() -> None:
    """Write nothing more to a reader who has left, as `| head` does: not at the end of the process either."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
