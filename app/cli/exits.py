"""Exit codes, and the exception of a failed command."""

FAILED = 1
CONFIGURATION = 78


class Failure(Exception):
    """The command failed; the message is one sentence for the person at the terminal."""
