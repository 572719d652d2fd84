"""The client's parser of event streams."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from app.cli.generate.events import EventParser, LiveEvent

LINES = [
    "\ufeff: a comment, behind a byte order mark",
    "retry: 1500",
    "event: job.queued",
    'data: {"a": "line\u2028separators stay"}',
    "id: 1-0",
    "",
    ": ping",
    "",
    "data:first",
    "data: second",
    "id: 2-\0",
    "unknown: field",
    "",
    "event: without data",
    "id: 3-0",
    "",
    "data",
    "",
    "event: never",
    "data: finished",
]
EVENTS = [
    LiveEvent("job.queued", '{"a": "line\u2028separators stay"}', "1-0"),
    LiveEvent("message", "first\nsecond", "1-0"),
    LiveEvent("message", "", "3-0"),
]


@example(end="\r\n", cuts=list(range(400)))  # byte by byte
@given(end=st.sampled_from(["\n", "\r", "\r\n"]), cuts=st.lists(st.integers(0, 300), max_size=30))
def test_a_stream_reads_the_same_however_it_is_cut(end: str, cuts: list[int]) -> None:
    """Three kinds of line ends and any chunks give the same events; one without its blank line is not returned."""
    content = end.join(LINES).encode()
    places = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    parser = EventParser()
    found = [event for a, b in itertools.pairwise(places) for event in parser.feed(content[a:b])]
    assert found == EVENTS
    assert (parser.last_id, parser.retry_s) == ("3-0", 1.5)


def test_a_resumed_stream_keeps_the_last_id() -> None:
    """The last id is kept until another comes, also by the next connection's parser."""
    parser = EventParser(last_id="7-0")
    assert parser.feed(b"data: x\n\n") == [LiveEvent("message", "x", "7-0")]
    assert parser.last_id == "7-0"
