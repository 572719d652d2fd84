"""What a metric is: counters and histograms that processes count, and figures that are read when somebody asks."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Literal

from app.metrics.cells import CELLS

OTHER = "other"  # a value that is not on its label's list
MOST_ZEROS = 120  # series that are shown before anything was counted


@dataclass(slots=True)
class Label:
    """A label with a closed list of values; everything else counts as `other`.

    With `room`, the list is given when a process starts (`give`), with the same names in all processes of a host.
    Where figures are read, `bound` says what limits the values.
    """

    name: str
    values: tuple[str, ...] = ()
    room: int = 0
    bound: str = ""

    @property
    def size(self) -> int:
        """How many values are counted apart, `other` included."""
        return max(self.room, len(self.values)) + 1

    def give(self, values: Iterable[str]) -> None:
        """The values, once they are known; those beyond the room count as `other`."""
        self.values = tuple(sorted(values))[: self.room]

    def index(self, value: str) -> int:
        """The value's place on the list; `other` is the last."""
        return self.values.index(value) if value in self.values else self.size - 1

    def shown(self, index: int) -> str:
        """The value at this place."""
        return self.values[index] if index < len(self.values) else OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric: its name, type, unit and labels, and what it means, in a sentence for its readers.

    A `process` counts it, a `host` reads it of its processes, or one process reads it for the whole `installation`.
    `bounds` are the upper bounds of a histogram's buckets.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    source: Literal["process", "host", "installation"]
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(slots=True)
class _Counted:
    """Numbers of a metric that processes count: `width` for each combination of its labels' values."""

    metric: Metric
    width: int
    _first: int = field(init=False)
    _known: dict[tuple[str, ...], int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._first = CELLS.reserve(self.width * prod(label.size for label in self.metric.labels))

    def _place(self, values: tuple[str, ...]) -> int:
        """Where the numbers of these labels begin."""
        place = self._known.get(values)
        return self._find(values) if place is None else place

    def _find(self, values: tuple[str, ...]) -> int:
        index = 0
        for label, value in zip(self.metric.labels, values, strict=True):
            index = index * label.size + label.index(value)
        place = self._first + index * self.width
        if all(value in label.values for label, value in zip(self.metric.labels, values, strict=True)):
            self._known[values] = place
        return place

    def rows(self, totals: Sequence[float]) -> Iterator[tuple[tuple[str, ...], Sequence[float]]]:
        """The labels' values and their numbers; zeros too, unless they are too many: a rate needs a beginning."""
        labels = self.metric.labels
        zeros = (
            not any(label.room for label in labels) and prod(len(label.values) for label in labels) <= MOST_ZEROS
        )
        place = self._first
        for indexes in product(*(range(label.size) for label in labels)):
            numbers = totals[place : place + self.width]
            place += self.width
            listed = all(at < len(label.values) for label, at in zip(labels, indexes, strict=True))
            if (zeros and listed) or any(numbers):
                yield tuple(label.shown(at) for label, at in zip(labels, indexes, strict=True)), numbers


class Counter(_Counted):
    """A number that only grows."""

    def __init__(self, name: str, meaning: str, *labels: Label, unit: str = "") -> None:
        super().__init__(
            Metric(name=name, type="counter", unit=unit, meaning=meaning, source="process", labels=labels), 1
        )

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Count one, or an amount, under these values of its labels."""
        CELLS.values[self._place(values)] += amount


class Histogram(_Counted):
    """How many observations were at most this long, by bucket, and their sum; in seconds."""

    def __init__(self, name: str, meaning: str, *labels: Label, bounds: tuple[float, ...]) -> None:
        super().__init__(
            Metric(
                name=name,
                type="histogram",
                unit="seconds",
                meaning=meaning,
                source="process",
                labels=labels,
                bounds=bounds,
            ),
            len(bounds) + 2,  # one beyond the last bound, and the sum
        )
        self._bounds = bounds

    def observe(self, seconds: float, *values: str) -> None:
        """Count one observation under these values of its labels; less than nothing, by two clocks, is nothing."""
        place, cells = self._place(values), CELLS.values
        cells[place + bisect_left(self._bounds, seconds)] += 1
        cells[place + self.width - 1] += max(0.0, seconds)
