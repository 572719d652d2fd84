"""The number of the data format that this version writes, and the formats that it can use.

A version with the format N reads N - 1, N and N + 1, so versions whose numbers differ by one may run side by side,
and replace each other in both directions. What a version begins to write, the version before could already read
(docs/decisions/0051-a-store-has-a-format.md).

| format | records of ended jobs | first version |
|---|---|---|
| 1 | in any form; such a store has no number | before 0.1.0 of December 2026 |
| 2 | packed as `app/store/packing.py` writes them | 0.1.0 |
"""

FORMAT = 2
UNNUMBERED = 1  # the format of a store without a number


def refusal(number: int, *, version: str, own: int = FORMAT) -> str | None:
    """Why a version with the format `own` must not use a store of the format `number`; None when it may."""
    reads = f"filmgate {version} reads the data formats {max(UNNUMBERED, own - 1)} to {own + 1}"
    if number > own + 1:
        return f"The store has data format {number}, and {reads}: start a newer version (docs/upgrading.md)."
    if number < own - 1:
        return (
            f"The store has data format {number}, and {reads}: run `filmgate migrate` of an older version first, "
            f"one with the data format {number + 1} (docs/upgrading.md)."
        )
    return None


def unreadable_for(own: int) -> int:
    """The lowest format that a version with the format `own` cannot read."""
    return own + 2
