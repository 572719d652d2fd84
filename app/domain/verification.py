"""The report of a verification of the ledger."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in the store that differs from the one rebuilt from the entries.

    Attributes:
        key: the store's key.
        field: a counter's name, or a job's id.
        stored: the store's value (text where it is not a number), 1 for a member of a set; None for nothing.
        rebuilt: the right value; None for nothing.
    """

    key: str
    field: str
    stored: int | str | None
    rebuilt: int | None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """How much was read, and all differences."""

    teams: int
    entries: int
    differences: list[Difference]
