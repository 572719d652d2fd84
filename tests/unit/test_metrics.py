"""Numbers that processes count: labels, buckets, memory that outlives a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.metrics.cells import own_totals
from app.metrics.processes import process_use
from app.metrics.table import ADMISSION, GENERATION, MODEL, REFUSALS, SUBMISSIONS
from app.metrics.text import render
from tests.support.repo import ROOT

FORKED = """
import os, signal
from app.metrics.cells import SharedCells
from app.metrics.table import SUBMISSIONS
from app.metrics.text import render

cells = SharedCells(2)
for part in (0, 1, 0):
    cells.use(part)
    pid = os.fork()
    if pid == 0:
        SUBMISSIONS.add("v1", "admitted")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    lines = render(cells.totals(), {}, accept="").body.decode().splitlines()
    line = next(line for line in lines if 'outcome="admitted"' in line)
    print(line.rpartition(" ")[2], flush=True)
"""


def sample(text: str, name: str) -> float:
    """The number after this name with its labels; 0 without one."""
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


def page() -> str:
    """What this process shows."""
    return render(own_totals(), {}, accept="").body.decode()


def test_what_is_not_on_a_labels_list_counts_as_other() -> None:
    """So a caller, or fal, can make no series: not with a new word, however long, nor with many of them."""
    before = page()
    for number in range(1000):
        SUBMISSIONS.add("v1", f"out\n{number}" * 1000)
    text = page()
    other = 'filmgate_submissions_total{outcome="other",surface="v1"}'
    assert sample(text, other) - sample(before, other) == 1000
    assert len(text.splitlines()) - len(before.splitlines()) <= 1
    with pytest.raises(ValueError, match="zip"):
        REFUSALS.add("team")


def test_a_bucket_includes_its_bound() -> None:
    """As Prometheus counts; the sum is of seconds, and a clock that ran back adds nothing."""
    before = page()
    for seconds in (0.001, 0.0011, 31.0, -5.0):
        ADMISSION.observe(seconds)
    text = page()

    def grown(name: str) -> float:
        return sample(text, name) - sample(before, name)

    assert grown('filmgate_admission_seconds_bucket{le="0.001"}') == 2
    assert grown('filmgate_admission_seconds_bucket{le="0.0025"}') == 3
    assert grown('filmgate_admission_seconds_bucket{le="30.0"}') == 3
    assert grown('filmgate_admission_seconds_bucket{le="+Inf"}') == grown("filmgate_admission_seconds_count") == 4
    assert grown("filmgate_admission_seconds_sum") == pytest.approx(31.0021)


def test_names_that_are_given_at_the_start_have_a_room() -> None:
    """The registry's models; one that is not among them counts as `other`."""
    MODEL.give(f"model/{number:03}" for number in range(500))
    try:
        GENERATION.observe(50, "model/000")
        GENERATION.observe(50, "model/499")
        GENERATION.observe(50, "nobody's")
        text = page()
        assert sample(text, 'filmgate_generation_seconds_count{model="model/000"}') == 1
        assert sample(text, 'filmgate_generation_seconds_count{model="other"}') == 2
    finally:
        MODEL.give(())


def test_a_part_of_shared_memory_outlives_its_process() -> None:
    """Children add in their own parts; who is started in the part of one that was killed goes on: nothing falls."""
    done = subprocess.run(  # noqa: S603  the script above
        [sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    totals = [float(line) for line in done.stdout.split()]
    assert totals == [1, 2, 3]


def test_what_a_process_uses_is_what_the_system_says() -> None:
    """Memory, processor time and open files of this process; nothing of one that does not exist."""
    use = process_use(os.getpid())
    assert use is not None
    assert use.memory > 10_000_000
    assert 0 < use.cpu_s < 3600
    with Path(os.devnull).open("rb"):
        more = process_use(os.getpid())
    assert more is not None
    assert more.open_fds == use.open_fds + 1
    assert process_use(2**30) is None


def test_a_reading_that_is_not_on_the_list_is_a_mistake() -> None:
    """It would have neither meaning nor unit."""
    with pytest.raises(ValueError, match="filmgate_odd"):
        render(own_totals(), {"filmgate_odd": {(): 1.0}}, accept="")
