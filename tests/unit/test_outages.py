"""An outage is two lines in the log."""

import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.outages import QUIET_S, Outage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test moves."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def told(lines: list[Any]) -> list[tuple[str, ...]]:
    """The lines in short."""
    names = ("cause", "failures", "seconds", "seconds_at_most")
    return [(line["event"], *(str(line[name]) for name in names if name in line)) for line in lines]


def test_an_outage_is_one_line_at_its_begin_and_one_at_its_end(clock: list[float]) -> None:
    """However many calls fail, and with their number and how long it took; the next one begins anew."""
    store = Outage("store")
    with capture_logs() as lines:
        store.worked()
        for _ in range(500):
            store.failed("no_answer")
            clock[0] += 0.02
        store.worked()
        clock[0] += QUIET_S
        store.worked()
        store.worked()
        store.failed("no_answer")
    assert told(lines) == [
        ("store.away", "no_answer"),
        ("store.back", "500", "10.0", "10.0"),
        ("store.away", "no_answer"),
    ]


def test_reads_that_work_do_not_end_it_while_writes_fail(clock: list[float]) -> None:
    """Otherwise the two lines would alternate, four times a second."""
    store = Outage("store")
    with capture_logs() as lines:
        for _ in range(50):
            store.failed("no_memory")
            store.worked()
            clock[0] += 1
        clock[0] += QUIET_S
        store.worked()
    assert told(lines) == [("store.away", "no_memory"), ("store.back", "50", "49.0", "49.0")]


def test_another_cause_is_another_line(clock: list[float]) -> None:
    """Who looks for the cause must see when it changes."""
    fal = Outage("fal")
    with capture_logs() as lines:
        for cause in ("timeout", "dns", "timeout", "dns"):
            fal.failed(cause, call="status")
    assert told(lines) == [("fal.away", "timeout"), ("fal.away", "dns")]
    assert lines[0]["call"] == "status"


def test_an_end_that_is_seen_late_makes_no_outage_longer(clock: list[float]) -> None:
    """Nobody called for a minute and a half: what is known is the last failure, and the first success."""
    store = Outage("store")
    with capture_logs() as lines:
        store.failed("no_answer")
        clock[0] += 47
        store.failed("no_answer")
        clock[0] += 101
        store.worked()
    assert told(lines) == [("store.away", "no_answer"), ("store.back", "2", "47.0", "148.0")]
