"""A pass: signed, short, and of no use when a character of it was changed."""

import pytest

from app.domain.passes import Pass, read_pass, write_pass

SECRET = "a secret of this installation"
ONE = Pass("team_" + "a" * 32, "file_" + "b" * 32, 1_800_000_000_000)


def test_a_pass_reads_back_as_it_was_written() -> None:
    """Also an expired one: who asks decides about the time."""
    assert read_pass(SECRET, write_pass(SECRET, ONE)) == ONE
    assert read_pass(SECRET, write_pass(SECRET, Pass(ONE.team, ONE.item, 1))) == Pass(ONE.team, ONE.item, 1)


def test_a_pass_of_another_secret_is_none() -> None:
    """Another installation's passes open nothing here."""
    assert read_pass(SECRET + "!", write_pass(SECRET, ONE)) is None


def test_no_character_of_a_pass_can_be_changed() -> None:
    """Team, item, time and mac are all signed."""
    text = write_pass(SECRET, ONE)
    for place, letter in enumerate(text):
        changed = text[:place] + ("0" if letter != "0" else "1") + text[place + 1 :]
        assert read_pass(SECRET, changed) is None, changed


@pytest.mark.parametrize("text", ["", ".", "...", "a.b.1.c", "\n", "é" * 100, "9" * 5000])
def test_what_is_no_pass_is_none(text: str) -> None:
    """Whatever a header or an address may hold."""
    assert read_pass(SECRET, text) is None
    assert read_pass(SECRET, write_pass(SECRET, ONE) + text) == (None if text else ONE)
