"""Lines of logs as text, and which of them are shown."""

from app.cli.log_view import LineFilter, LogLine

JOB = "job_" + "a" * 32
LINE = (
    f'{{"process":"api","job":"{JOB}","trace_id":"4bf9","event":"request","status":500,"level":"error",'
    '"timestamp":"2026-11-30T07:00:01.5Z","exception":"Traceback\\n  ValueError"}'
)


def test_a_line_is_read_with_what_it_is_about() -> None:
    """The members that every line has are apart; a line that is no JSON has the time of the one before."""
    line = LogLine.read(LINE, process="worker", before="")
    assert (line.timestamp, line.level, line.process, line.event) == (
        *("2026-11-30T07:00:01.5Z", "error", "api", "request"),
    )
    assert line.members == {"job": JOB, "trace_id": "4bf9", "status": 500}
    assert line.exception.splitlines() == ["Traceback", "  ValueError"]
    plain = LogLine.read("Killed\x1b[2J", process="worker", before=line.timestamp)
    assert (plain.timestamp, plain.process, plain.event) == (line.timestamp, "worker", "Killed [2J")
    assert LogLine.read("[1]", process="worker", before="").event == "[1]"


def test_lines_are_filtered_by_job_trace_and_level() -> None:
    """Ids may be cut; a line about nothing is not about the job."""
    line, plain = LogLine.read(LINE, process="api", before=""), LogLine.read("x", process="api", before="")
    taken = {
        ("job_aaaa", None, "info"): (True, False),
        (None, "4bf9", "error"): (True, False),
        (None, None, "info"): (True, True),
        (None, None, "warning"): (True, False),
        ("job_bbbb", None, "info"): (False, False),
        ("job_aaaa", "4bf8", "info"): (False, False),
    }
    for (job, trace, level), expected in taken.items():
        wanted = LineFilter(job, trace, level)
        assert (wanted.takes(line), wanted.takes(plain)) == expected, (job, trace, level)
