"""Amounts of money are exact, and their format is strict."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import MAX_MICRO, format_usd, parse_usd

WRITTEN = {
    "0": 0,
    "0.00": 0,
    "0.000001": 1,
    "1.4": 1_400_000,
    "1.40": 1_400_000,
    "1.400000": 1_400_000,
    "0007": 7_000_000,
    "9000000000": MAX_MICRO,
}
REFUSED = [
    "",
    ".",
    "1.",
    ".5",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "1,40",
    "1_000",
    "1e3",
    "0x1",
    "NaN",
    "sNaN",
    "Infinity",
    "1.4000001",
    "9000000000.000001",
    "1" + "0" * 5000,
    "1." + "0" * 5000,
    "\u0661",
    "\uff11",
    "$1",
    "1.40 USD",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_an_amount_is_read_exactly(text: str) -> None:
    """Whole micro-dollars, up to the limit."""
    assert parse_usd(text) == WRITTEN[text]


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_plain_amount_is_refused(text: str) -> None:
    """ValueError, and never another error; the sentence does not repeat the input."""
    with pytest.raises(ValueError, match="amount") as caught:
        parse_usd(text)
    assert len(text) < 5 or text not in str(caught.value)


@given(st.integers(0, MAX_MICRO))
def test_every_amount_reads_back(micro: int) -> None:
    """A written amount reads back as the same amount, and has two to six decimal places."""
    text = format_usd(micro)
    assert parse_usd(text) == micro
    assert 2 <= len(text.partition(".")[2]) <= 6


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    """An amount within the limits, or ValueError."""
    with contextlib.suppress(ValueError):
        assert 0 <= parse_usd(text) <= MAX_MICRO


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (100_000, "0.10"),
        (1_400_000, "1.40"),
        (1_234_560, "1.23456"),
        (-5, "-0.000005"),
    ],
)
def test_an_amount_is_written_plainly(micro: int, text: str) -> None:
    """At least two decimal places, no needless zeros after them, a sign in front."""
    assert format_usd(micro) == text
