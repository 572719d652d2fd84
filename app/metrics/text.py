"""The page of /metrics, written by prometheus-client in the form that was asked for: plain text or OpenMetrics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from app.metrics.kinds import Histogram, Metric
from app.metrics.table import COUNTED, HOST, INSTALLATION

Family: TypeAlias = Any  # prometheus-client's Metric; the library is loaded when the first page is made
Readings = Mapping[str, Mapping[tuple[str, ...], float]]  # by metric: the labels' values to the number


@dataclass(frozen=True, slots=True)
class Page:
    """A page of /metrics, and its Content-Type."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class _Collected:
    """What prometheus-client asks for the families of a page."""

    families: Iterable[Family]

    def collect(self) -> Iterable[Family]:
        return self.families


def render(totals: Sequence[float], readings: Readings, *, accept: str) -> Page:
    """The page: numbers that were counted, and readings of host and installation; `accept` is the request's header.

    ValueError for a reading that is not on the list.
    """
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415  4 MB that only a scraped process needs

    known = {metric.name: metric for metric in (*HOST, *INSTALLATION)}
    if unknown := readings.keys() - known.keys():
        raise ValueError(f"no metrics of the list: {sorted(unknown)}")
    families = [*_counted(totals), *(_family(known[name], rows) for name, rows in readings.items())]
    encode, content_type = choose_encoder(accept)
    return Page(encode(_Collected(families)), content_type)


def _counted(totals: Sequence[float]) -> Iterator[Family]:
    for one in COUNTED:
        rows = dict(one.rows(totals))
        if not isinstance(one, Histogram):
            yield _family(one.metric, {labels: numbers[0] for labels, numbers in rows.items()})
        elif rows:
            yield _histogram(one.metric, rows)


def _family(metric: Metric, rows: Mapping[tuple[str, ...], float]) -> Family:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  as above

    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=[label.name for label in metric.labels])
    for labels, number in rows.items():
        family.add_metric(labels, number)
    return family


def _histogram(metric: Metric, rows: Mapping[tuple[str, ...], Sequence[float]]) -> Family:
    from prometheus_client.metrics_core import HistogramMetricFamily  # noqa: PLC0415  as above
    from prometheus_client.utils import floatToGoString  # noqa: PLC0415  as above

    family = HistogramMetricFamily(metric.name, metric.meaning, labels=[label.name for label in metric.labels])
    bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
    for labels, (*counts, total) in rows.items():
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family
