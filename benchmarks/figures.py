"""What a row returns: figures, each with its peer, its target and its point in a chart."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Spread = tuple[float, float]  # the lowest and the highest round


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure, or on its ratio to the peer. It never fails a run."""

    bound: float
    of: Literal["value", "ratio"] = "value"
    at_least: bool = False

    def holds(self, found: float) -> bool:
        """True when the value is within the bound."""
        return found >= self.bound if self.at_least else found <= self.bound

    def text(self, unit: str) -> str:
        """`at most 1.5 times`, `at least 80 %`."""
        word = "at least" if self.at_least else "at most"
        return f"{word} {self.bound:,g} {'times' if self.of == 'ratio' else unit}".rstrip()


def at_most(bound: float) -> Target:
    """The figure is at most this."""
    return Target(bound)


def at_least(bound: float) -> Target:
    """The figure is at least this."""
    return Target(bound, at_least=True)


def times_the_peer(most: float) -> Target:
    """The figure is at most so many times that of the peer."""
    return Target(most, "ratio")


def at_least_times_the_peer(least: float) -> Target:
    """The figure is at least so many times that of the peer."""
    return Target(least, "ratio", at_least=True)


@dataclass(frozen=True, slots=True)
class Point:
    """The place of a figure in a chart: on which line, and at which x."""

    chart: str
    line: str
    x: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `ratio` is value / peer."""

    row: str
    name: str
    unit: str
    value: float
    peer: float | None = None
    peer_name: str = ""
    target: Target | None = None
    spread: Spread | None = None
    peer_spread: Spread | None = None
    point: Point | None = None

    @property
    def ratio(self) -> float | None:
        """Our value divided by the peer's; None without a peer."""
        return self.value / self.peer if self.peer else None

    @property
    def held(self) -> bool | None:
        """True when the target is held; None without one."""
        found = self.ratio if self.target is not None and self.target.of == "ratio" else self.value
        return None if self.target is None or found is None else self.target.holds(found)

    @property
    def verdict(self) -> str:
        """The target, and whether it is held: `at most 1.5 times: missed`."""
        if self.target is None:
            return ""
        return f"{self.target.text(self.unit)}: {'held' if self.held else 'missed'}"

    def as_json(self) -> dict[str, Any]:
        """The figure as plain values."""
        return {**asdict(self), "ratio": self.ratio, "held": self.held}


def figure_from_json(values: dict[str, Any]) -> Figure:
    """The figure of `as_json`."""
    kept = {name: value for name, value in values.items() if name not in {"ratio", "held"}}
    spreads = {name: tuple(kept[name]) for name in ("spread", "peer_spread") if kept[name]}
    target = Target(**kept["target"]) if kept["target"] else None
    point = Point(**kept["point"]) if kept["point"] else None
    return Figure(**{**kept, **spreads, "target": target, "point": point})


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: `quick` is a rough check; the others belong to one row each."""

    quick: bool = False
    jobs: int | None = None
    seconds: float | None = None


def format_value(value: float, spread: Spread | None) -> str:
    """Three significant digits; of several rounds, with the lowest and the highest."""
    text = digits(value)
    return f"{text} ({digits(spread[0])} to {digits(spread[1])})" if spread else text


def digits(value: float) -> str:
    """Three significant digits, and no zeros after a whole number."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread_of(values: Iterable[float]) -> Spread:
    """The lowest and the highest."""
    found = sorted(values)
    return found[0], found[-1]


def percentile(ordered: list[float], share: float) -> float:
    """The value of an ascending list below which this share of it lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
