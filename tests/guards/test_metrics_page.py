"""The list of metrics is complete, well formed and on its page."""

import re
from typing import get_args

from app.api.overload import Kind
from app.domain.buying import SubmitOutcome
from app.fal.errors import CAUSES
from app.metrics import table
from app.metrics.kinds import OTHER, Counter, Histogram
from app.metrics.table import COUNTED, METRICS
from app.store.keys import STEPS
from app.webhooks.sender import AttemptOutcome
from tests.guards.metrics_page import PAGE
from tests.support.repo import ROOT, python_files
from workers.queues import QUEUES
from workers.supervisor import KEEPER

NAME = re.compile(r"filmgate(_[a-z]+)+")
CODE = [path for path in python_files() if path.parts[0] in {"app", "workers"} and "emulator" not in path.parts]
UNITS = ("seconds", "bytes", "usd")


def test_the_page_has_todays_list() -> None:
    """docs/metrics.md is made from the code: `.venv/bin/python -m tests.guards.metrics_page`."""
    assert PAGE.path.read_text("utf-8") == PAGE.written()


def test_names_say_type_and_unit() -> None:
    """As Prometheus wants it: counters end in `_total`, the unit is the end of the name before that."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not NAME.fullmatch(name)] == []
    for metric in METRICS:
        assert (metric.type == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.unit == next(
            (unit for unit in UNITS if metric.name.removesuffix("_total").endswith(f"_{unit}")), ""
        ), metric.name
        assert metric.meaning.endswith("."), metric.name
        assert list(metric.bounds) == sorted(set(metric.bounds)), metric.name


def test_every_label_is_bounded() -> None:
    """By a closed list without the word for the rest, by a room, or by a sentence that says by what."""
    for metric in METRICS:
        for label in metric.labels:
            assert bool(label.values) + bool(label.room) + bool(label.bound) == 1, (metric.name, label.name)
            assert OTHER not in label.values
            assert not label.bound or metric.source != "process"
            assert label.name not in {"instance", "job", "le"}, "Prometheus' own"


def test_lists_of_labels_have_the_words_of_the_code() -> None:
    """A new word would count as `other` until it is on its list."""
    assert set(table.STEPS) == set(STEPS)
    assert set(table.PURCHASES) == set(get_args(SubmitOutcome))
    assert set(table.FAULTS) > set(CAUSES)
    assert set(table.ATTEMPTS.metric.labels[0].values) == set(get_args(AttemptOutcome))
    assert set(table.OVERLOADS.metric.labels[0].values) == set(Kind)
    assert set(table.STARTS.metric.labels[0].values) == {*QUEUES, KEEPER}
    errors = re.compile(r"JobError\(\s*\"(\w+)\"")
    found = {word for path in CODE for word in errors.findall((ROOT / path).read_text("utf-8"))}
    assert len(found) > 5
    assert found <= set(table.ENDS)


def test_every_counted_metric_is_on_the_list() -> None:
    """A metric that is counted and not on the list would never be shown."""
    made = {id(value) for value in vars(table).values() if isinstance(value, Counter | Histogram)}
    assert made == {id(one) for one in COUNTED}
