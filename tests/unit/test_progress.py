"""What a start prints while it waits."""

import json
from pathlib import Path

import pytest

from app.cli.progress import StartProgress, WorkersLog, describe_missing


def test_a_quick_start_says_nothing_and_a_slow_one_why() -> None:
    """Silent for three seconds, then what it waits for, again every five."""
    times = iter((100.0, 101.0, 102.9, 103.1, 104.0, 108.0, 108.2))  # the first is the start
    printed: list[str] = []
    start = StartProgress(printed.append, clock=lambda: next(times))
    for _ in range(6):
        start.report("the store")
    assert printed == ["Waiting for the store (3 s) …", "Waiting for the store (8 s) …"]


@pytest.mark.parametrize(
    ("ready", "words"),
    [
        (None, "the API"),
        ({"status": "not ready", "store": "away"}, "the store, which is away"),
        ({"status": "not ready", "store": "ok", "workers_missing": ["lanes", "work"]}, "lanes, work"),
    ],
)
def test_what_is_missing_is_named(ready: object, words: str) -> None:
    """In the words of `/readyz`."""
    assert words in describe_missing(ready)


def test_workers_that_die_at_birth_are_quoted(tmp_path: Path) -> None:
    """Three deaths, and the last reason; the log of an earlier run does not count."""
    log = tmp_path / "worker.log"
    died = json.dumps({"event": "worker.died", "lived_s": 0.4}) + "\n"
    log.write_text(died * 9)
    begun = WorkersLog(log)
    log.write_text(died * 9 + died * 2)
    assert begun.startup_failure() is None
    failed = json.dumps({"event": "worker.failed", "reason": "NoPermissionError: 'sadd'"}) + "\n"
    log.write_text(died * 9 + died * 2 + failed + died)
    assert begun.startup_failure() == "NoPermissionError: 'sadd'"
