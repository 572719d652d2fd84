"""How the command ends."""

FAILED = 1
CONFIGURATION = 78


class Failure(Exception):
    """The thing failed; the message is one sentence for the person at the terminal."""
