"""Numbers in sentences."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 day`, `2 days`; `plural` for a noun that does not just get an s."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
