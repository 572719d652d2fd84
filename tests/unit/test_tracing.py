"""When spans are recorded, and that nothing about it can stop a gateway."""

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app import tracing
from app.domain.traces import TraceParent
from app.otel import MAX_WAITING, STOP_S

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
OFF: dict[str, tuple[dict[str, str], str]] = {
    "no endpoint": ({}, ""),
    "switched off": ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, ""),
    "no exporter": ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, ""),
    "another protocol": ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "another protocol: grpc"),
}
JOIN_S = 30.0
SLOW_S = 3.0  # in addition, on a busy machine
WITHIN = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Nothing is recorded afterwards, and no thread of a test is left: its next try would use `random`."""
    yield
    tracing.stop()
    for thread in threading.enumerate():
        if thread.name.startswith(("OtelBatch", "traces")):
            thread.join(JOIN_S)
            assert not thread.is_alive(), thread.name


def started(monkeypatch: pytest.MonkeyPatch, **environ: str) -> list[Any]:
    """The log lines of a start in this environment, which OpenTelemetry reads itself too."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as lines:
        tracing.preload(environ)
        tracing.start(environ, process="api")
    return lines


@pytest.mark.parametrize(("environ", "reason"), OFF.values(), ids=OFF)
def test_it_is_off(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], reason: str) -> None:
    """Without an endpoint, when switched off, and with a line where the protocol is not spoken."""
    lines = started(monkeypatch, **environ)
    assert [(line["event"], line["reason"]) for line in lines] == ([("traces.off", reason)] if reason else [])
    assert not tracing.is_on()
    tracing.record("step", WITHIN, began_ns=1)
    tracing.stop()


def test_without_the_extra_a_line_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint may be set for all programs of a cluster, so that is no reason not to start."""
    monkeypatch.setitem(sys.modules, "app.otel", None)
    (line,) = started(monkeypatch, **ENDPOINT)
    assert (line["event"], line["remedy"]) == ("traces.off", "pip install 'filmgate[otel]'")
    assert not tracing.is_on()


def test_a_wrong_variable_of_opentelemetry_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library does about it, the gateway starts."""
    wrong = {"OTEL_BSP_SCHEDULE_DELAY": "-1", "OTEL_TRACES_SAMPLER": "some", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}
    lines = started(monkeypatch, **ENDPOINT, **wrong)
    assert [line["event"] for line in lines] == ["traces.off"]


def test_the_sampler_and_the_caller_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's word counts; without one, OTEL_TRACES_SAMPLER, the same for one id in every process."""
    started(monkeypatch, **ENDPOINT, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    low, high = "0" * 16 + "1" * 16, "f" * 32
    assert [tracing.is_sampled(one, None) for one in (low, high)] == [True, None]
    assert tracing.is_sampled(high, WITHIN) is True
    assert tracing.is_sampled(low, TraceParent(low, "1" * 16, sampled=False)) is None


def test_a_full_queue_drops_and_counts_and_a_stop_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the collector is away: one line at the begin, and the number of the dropped at the end."""
    started(
        monkeypatch, **ENDPOINT, OTEL_BSP_SCHEDULE_DELAY="60000", OTEL_BSP_MAX_EXPORT_BATCH_SIZE=str(MAX_WAITING)
    )
    with capture_logs() as lines:
        for _ in range(MAX_WAITING + 100):
            tracing.record("step", WITHIN, began_ns=1)
        began = time.monotonic()
        tracing.stop()
    assert time.monotonic() - began < STOP_S + SLOW_S
    away = [line["cause"] for line in lines if line["event"] == "traces.away"]
    assert "queue_full" in away
    assert len(away) == len(set(away))
    (dropped,) = [line["spans"] for line in lines if line["event"] == "traces.dropped"]
    assert dropped == MAX_WAITING + 100
