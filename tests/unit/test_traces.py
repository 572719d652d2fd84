"""W3C Trace Context: which headers are valid, and what ours look like."""

import pytest

from app.domain.ids import new_id, new_nonce
from app.domain.traces import TraceParent, new_span, read_traceparent, span_of, standard_id, write_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = {
    "recorded": (f"00-{TRACE}-{SPAN}-01", True),
    "not recorded": (f"00-{TRACE}-{SPAN}-00", False),
    "unknown flags beside it": (f"00-{TRACE}-{SPAN}-03", True),
    "a later version": (f"cc-{TRACE}-{SPAN}-01", True),
    "a later version with more": (f"01-{TRACE}-{SPAN}-00-what-the-future-holds", False),
}
INVALID = {
    "nothing": "",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "version 00 with more": f"00-{TRACE}-{SPAN}-01-more",
    "a later version with more, without a dash": f"01-{TRACE}-{SPAN}-01more",
    "no trace": f"00-{'0' * 32}-{SPAN}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "capital letters": f"00-{TRACE.upper()}-{SPAN}-01",
    "too short": f"00-{TRACE[1:]}-{SPAN}-01",
    "too long": f"00-{TRACE}0-{SPAN}-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "one digit of flags": f"00-{TRACE}-{SPAN}-1",
    "white space": f" 00-{TRACE}-{SPAN}-01",
    "a line break": f"00-{TRACE}-{SPAN}-01\n",
    "other digits": f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
    "another form": "order-17",
}


@pytest.mark.parametrize(("text", "sampled"), VALID.values(), ids=VALID)
def test_a_valid_traceparent_is_read(text: str, sampled: bool) -> None:  # noqa: FBT001  a table
    """The trace, the caller's span, and whether the caller records it."""
    assert read_traceparent(text) == TraceParent(TRACE, SPAN, sampled)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_an_invalid_traceparent_is_none(text: str) -> None:
    """As the standard asks: as if it had not been sent."""
    assert read_traceparent(text) is None


def test_what_we_write_can_be_read_again() -> None:
    """A trace id of the standard's form stays; another always becomes the same one."""
    for sampled in (True, False):
        written = write_traceparent(TRACE, SPAN, sampled=sampled)
        assert read_traceparent(written) == TraceParent(TRACE, SPAN, sampled)
    for odd in ("order-17", "0" * 32, TRACE.upper()):
        found = read_traceparent(write_traceparent(odd, new_span(), sampled=True))
        assert found is not None
        assert found.trace_id == standard_id(odd) != standard_id(f"{odd}x")
    assert standard_id(nonce := new_nonce()) == nonce


def test_every_process_finds_the_span_of_an_admission() -> None:
    """It follows from the job's id."""
    job, other = new_id("job"), new_id("job")
    assert span_of(job) == span_of(job) != span_of(other)
    assert read_traceparent(write_traceparent(TRACE, span_of(job), sampled=True)) is not None
