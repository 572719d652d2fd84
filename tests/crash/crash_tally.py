"""The totals of the crash matrix's rounds."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """The totals of all rounds."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    held: int = 0
    released: int = 0
    lost: int = 0
    doubles: int = 0
    ledger_errors: int = 0
    outages: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        dead = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"crash matrix: {self.rounds} rounds, {self.kills.total()} kills ({dead}), {self.jobs} jobs, "
            f"{self.held} held, {self.released} steps set aside; "
            f"{self.lost} lost, {self.doubles} bought twice, {self.ledger_errors} ledger errors"
        )
