"""`filmgate generate`: a person's client."""


def generate() -> None:
    """Make a clip."""
