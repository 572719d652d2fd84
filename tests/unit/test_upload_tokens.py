"""An upload token: signed, short, and invalid when any character was changed."""

import pytest

from app.domain.upload_tokens import UploadToken, read_upload_token, write_upload_token

SECRET = "a secret of this installation"
ONE = UploadToken("team_" + "a" * 32, "file_" + "b" * 32, 1_800_000_000_000)


def test_a_pass_reads_back_as_it_was_written() -> None:
    """An expired one too: the caller checks the time."""
    assert read_upload_token(SECRET, write_upload_token(SECRET, ONE)) == ONE
    assert read_upload_token(SECRET, write_upload_token(SECRET, UploadToken(ONE.team, ONE.item, 1))) == UploadToken(
        ONE.team, ONE.item, 1
    )


def test_a_pass_of_another_secret_is_none() -> None:
    """Another installation's tokens are invalid here."""
    assert read_upload_token(SECRET + "!", write_upload_token(SECRET, ONE)) is None


def test_no_character_of_a_pass_can_be_changed() -> None:
    """Team, item, time and mac are all signed."""
    text = write_upload_token(SECRET, ONE)
    for at, letter in enumerate(text):
        changed = text[:at] + ("0" if letter != "0" else "1") + text[at + 1 :]
        assert read_upload_token(SECRET, changed) is None, changed


@pytest.mark.parametrize("text", ["", ".", "...", "a.b.1.c", "\n", "é" * 100, "9" * 5000])
def test_malformed_text_is_no_token(text: str) -> None:
    """Whatever a header or a URL has."""
    assert read_upload_token(SECRET, text) is None
    assert read_upload_token(SECRET, write_upload_token(SECRET, ONE) + text) == (None if text else ONE)
