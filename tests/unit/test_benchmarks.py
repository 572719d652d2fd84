"""The benchmarks' own parts: targets, reports, the page, the charts, and an end without a measurement."""

import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import CHARTS, PAGE, ROWS, main
from benchmarks.charts import CHARTS as DRAWN
from benchmarks.charts import write_charts
from benchmarks.figures import Figure, Point, at_least, at_least_times_the_peer, at_most, times_the_peer
from benchmarks.processes import PORTS, NotMeasured, environment, listening, running
from benchmarks.report import BEGIN, END, Report, as_json, as_markdown, read_reports, write_page

FIGURE = Figure("admission", "CPU", "ms", 0.3, 0.2, "the peer", times_the_peer(1.5), (0.2, 0.4), (0.1, 0.3))
LAGS = [
    Figure("lag", f"p99, {jobs}", "s", late, point=Point("lag", "p99", jobs))
    for jobs, late in ((1000, 1.5), (10_000, 6.0))
]


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (FIGURE, "at most 1.5 times: held"),
        (replace(FIGURE, value=0.31), "at most 1.5 times: missed"),
        (replace(FIGURE, target=at_least_times_the_peer(1.7)), "at least 1.7 times: missed"),
        (replace(FIGURE, target=at_most(0.2)), "at most 0.2 ms: missed"),
        (replace(FIGURE, target=at_least(0.3)), "at least 0.3 ms: held"),
        (replace(FIGURE, target=None), ""),
    ],
)
def test_a_target_bounds_the_figure_or_its_ratio(figure: Figure, verdict: str) -> None:
    """From above or from below; the bound itself is within."""
    assert figure.verdict == verdict


def test_a_later_run_replaces_whole_rows_of_an_earlier_one(tmp_path: Path) -> None:
    """The row that both have is the later one's; everything else stays, and nothing is lost on the way."""
    whole, later = tmp_path / "whole.json", tmp_path / "later.json"
    whole.write_text(as_json(Report({"took": "9 s"}, [FIGURE, *LAGS])), encoding="utf-8")
    later.write_text(as_json(Report({"took": "1 s"}, [replace(FIGURE, value=0.25)])), encoding="utf-8")
    assert read_reports([whole]) == Report({"took": "9 s"}, [FIGURE, *LAGS])
    assert read_reports([whole, later]) == Report({"took": "9 s; 1 s"}, [replace(FIGURE, value=0.25), *LAGS])


def test_the_figures_on_a_page_are_replaced_between_its_comments(tmp_path: Path) -> None:
    """What stands around them is kept, and the old figures are gone."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_page(page, Report({"machine": "two cores"}, [FIGURE, *LAGS]))
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count("at most 1.5 times: held") == 1


def test_a_page_without_the_comments_is_refused(tmp_path: Path) -> None:
    """It is not written, and the message names it."""
    page = tmp_path / "page.md"
    page.write_text(f"only {BEGIN}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md has no place"):
        write_page(page, Report({}, [FIGURE]))
    assert page.read_text(encoding="utf-8") == f"only {BEGIN}"


def test_missed_targets_are_listed_below_the_tables() -> None:
    """By row and figure; `none` when all are held."""
    assert as_markdown(Report({}, [FIGURE])).endswith("Missed: none.")
    assert as_markdown(Report({}, [replace(FIGURE, value=1), *LAGS])).endswith("Missed: admission: CPU.")


def test_a_chart_has_a_line_through_all_points(tmp_path: Path) -> None:
    """Higher values are higher up, x grows to the right, and the colours fit a dark page too."""
    (path,) = write_charts(tmp_path, [FIGURE, *LAGS])
    assert path.name == "lag.svg"
    text = path.read_text(encoding="utf-8")
    line = ET.fromstring(text).find("{http://www.w3.org/2000/svg}polyline")  # noqa: S314  written above
    assert line is not None
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert x1 < x2
    assert y1 > y2
    assert "prefers-color-scheme: dark" in text
    assert write_charts(tmp_path, [FIGURE, LAGS[0]]) == [], "one point is no line"


def test_the_page_shows_every_row_and_every_chart() -> None:
    """Each row is explained, and each chart is linked and there."""
    text = PAGE.read_text(encoding="utf-8")
    assert [row for row in ROWS if f"\n**{row}**: " not in text] == []
    assert BEGIN in text
    assert END in text
    shown = {name for name in DRAWN if f"(charts/{name}.svg)" in text}
    assert shown == set(DRAWN) == {path.stem for path in CHARTS.glob("*.svg")}


@pytest.fixture
def _no_free_port() -> Iterator[None]:
    with ExitStack() as stack:
        for port in PORTS:
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the bench asks
            with suppress(OSError):  # another program has it
                taken.bind(("127.0.0.1", port))
                taken.listen(1)
        yield


@pytest.mark.usefixtures("_no_free_port")
def test_a_row_that_cannot_be_measured_ends_the_run_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the row, the reason, and the logs; no figure is printed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["--row", "idle", "--quick"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    output = capsys.readouterr()
    (logs,) = tmp_path.iterdir()
    assert output.err == f"idle: Ports {PORTS[0]} to {PORTS[-1]} are all taken.\nThe logs are in {logs}.\n"
    assert output.out == ""


@pytest.mark.anyio
async def test_a_process_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    """The run does not wait for it in vain."""
    log = tmp_path / "log"
    async with running("benchmarks.absent", env=environment(), log=log) as process:
        with pytest.raises(NotMeasured, match=r"No module named benchmarks\.absent"):
            await listening(process, PORTS[0], log)


@pytest.mark.anyio
async def test_a_program_ends_with_its_block(tmp_path: Path) -> None:
    """Also when the block is left by an error."""
    with pytest.raises(NotMeasured, match="no figure"):
        async with running(
            "http.server", "--bind", "127.0.0.1", "0", env=environment(), log=tmp_path / "log"
        ) as process:
            raise NotMeasured("no figure")
    assert process.returncode is not None
