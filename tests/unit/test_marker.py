"""The marker of a submission attempt: only this installation can make one, for one job and one attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import new_id, new_nonce
from app.domain.marker import Marker, is_ours, make_marker, read_marker
from app.telemetry import redact

SECRET = "a secret of this installation"
JOB = "job_00112233445566778899aabbccddeeff"
NONCE = "ffeeddccbbaa99887766554433221100"
OURS = make_marker(SECRET, JOB, NONCE)


def test_ours_is_known_again() -> None:
    """In its parts and as one text of at most 256 characters, the limit of fal's tags."""
    assert is_ours(SECRET, OURS)
    assert str(OURS) == f"{JOB}.{NONCE}.{OURS.mac}"
    assert read_marker(SECRET, str(OURS)) == OURS
    assert len(str(OURS)) <= 256
    assert set(OURS.mac) <= set("0123456789abcdef")


def test_the_mac_is_hmac_sha256_cut_to_128_bits() -> None:
    """Markers outlive a program's version: fal's history shows them a month later."""
    assert OURS.mac == "5b14854766d85d434a59778090ce2d3e"


def test_real_ids_fit() -> None:
    """Job ids and nonces have the form that markers require."""
    assert is_ours(SECRET, make_marker(SECRET, new_id("job"), new_nonce()))


WRONG = {
    "another secret's": make_marker("another secret", JOB, NONCE),
    "another job's": Marker("job_" + "0" * 32, NONCE, OURS.mac),
    "another attempt's": Marker(JOB, "0" * 32, OURS.mac),
    "job and nonce, exchanged": Marker("job_" + NONCE, JOB.removeprefix("job_"), OURS.mac),
    "no mac": Marker(JOB, NONCE, ""),
    "the beginning of the mac": Marker(JOB, NONCE, OURS.mac[:-1]),
    "more than the mac": Marker(JOB, NONCE, OURS.mac + "0"),
    "much more than the mac": Marker(JOB, NONCE, OURS.mac * 10_000),
    "the mac in capitals": Marker(JOB, NONCE, OURS.mac.upper()),
    "a mac with a line end": Marker(JOB, NONCE, OURS.mac + "\n"),
    "a mac not ASCII": Marker(JOB, NONCE, "é" * 32),
    "a job with a line end": make_marker(SECRET, JOB + "\n", NONCE),
    "a nonce with a line end": make_marker(SECRET, JOB, NONCE + "\n"),
    "a job in capitals": make_marker(SECRET, JOB.upper(), NONCE),
    "a nonce in capitals": make_marker(SECRET, JOB, NONCE.upper()),
    "a job too long": make_marker(SECRET, JOB + "0", NONCE),
    "a nonce too short": make_marker(SECRET, JOB, NONCE[1:]),
    "a path": make_marker(SECRET, "../" + JOB, NONCE),
    "nothing": Marker("", "", ""),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_ours_is_refused(case: str) -> None:
    """Malformed parts are refused even with a matching mac."""
    assert not is_ours(SECRET, WRONG[case])
    assert read_marker(SECRET, str(WRONG[case])) is None


@pytest.mark.parametrize(
    "text", ["", ".", "..", f"{JOB}.{NONCE}", f"{OURS}.", f".{OURS}", f"{OURS}.{OURS}", f" {OURS}"]
)
def test_a_text_that_is_no_marker_is_none(text: str) -> None:
    """Three parts, and nothing around them."""
    assert read_marker(SECRET, text) is None


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever fal's history has, reading it raises nothing and finds no marker of ours."""
    assert read_marker(SECRET, text) is None


@given(st.integers(min_value=0, max_value=len(str(OURS)) - 1), st.sampled_from("0123456789abcdef"))
def test_one_other_digit_is_not_ours(at: int, digit: str) -> None:
    """Wherever it is."""
    changed = str(OURS)[:at] + digit + str(OURS)[at + 1 :]
    assert (read_marker(SECRET, changed) == OURS) == (changed == str(OURS))


def test_no_log_line_shows_a_mac() -> None:
    """With a marker anyone could imitate fal as far as we can tell without its signature."""
    path = f"/fal/hooks/{OURS.job}/{OURS.nonce}/{OURS.mac}"
    for text in (path, f"https://x.fal.media/a.png?filmgate={OURS}", str(OURS)):
        assert OURS.mac not in redact(text)
        assert JOB in redact(text)
