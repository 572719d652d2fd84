"""One line of the result: a figure, its peer, their ratio, and the aim."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `ratio` is value / peer; `aim` is text and never fails a run."""

    row: str
    name: str
    unit: str
    value: float
    peer: float | None = None
    peer_name: str = ""
    aim: str = ""
    spread: tuple[float, float] | None = None  # lowest and highest round
    peer_spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        """Our value divided by the peer's; None without a peer."""
        return self.value / self.peer if self.peer else None

    def as_json(self) -> dict[str, Any]:
        """The figure as plain values."""
        return {**asdict(self), "ratio": self.ratio}


def format_value(value: float, spread: tuple[float, float] | None = None) -> str:
    """Three significant digits, with the lowest and the highest of several rounds."""
    text = _digits(value)
    return f"{text} ({_digits(spread[0])} to {_digits(spread[1])})" if spread else text


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def print_table(facts: Mapping[str, Any], figures: list[Figure]) -> None:
    """The machine, then a line for each figure."""
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    for name, value in facts.items():
        console.print(f"{name:<12} {value}", style="dim")
    table = Table("row", "figure", "unit")
    for heading in ("Filmgate", "peer", "ratio"):
        table.add_column(heading, justify="right")
    table.add_column("what the peer is")
    table.add_column("aim")
    row = ""
    for figure in figures:
        if row and figure.row != row:
            table.add_section()
        row = figure.row
        table.add_row(
            figure.row,
            figure.name,
            figure.unit,
            format_value(figure.value, figure.spread),
            "" if figure.peer is None else format_value(figure.peer, figure.peer_spread),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.peer_name,
            figure.aim,
        )
    console.print(table)
