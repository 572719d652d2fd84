"""What a verification of the books finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the store and the entries disagree.

    Attributes:
        key: the store's key.
        field: a counter's name, or a job's id.
        stored: what the store holds (text where it is no number); None for nothing. A place counts as 1.
        rebuilt: what it should hold; None for nothing.
    """

    key: str
    field: str
    stored: int | str | None
    rebuilt: int | None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """How much was read, and where it differs; no difference means that every micro-dollar is in its place."""

    teams: int
    entries: int
    differences: list[Difference]
