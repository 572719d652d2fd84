"""Drafts of model files on disk: whole, and never over another file unasked."""

import stat
from pathlib import Path

import pytest

from app.cli.drafts import file_name, write_draft
from app.cli.exits import Failure


def test_a_draft_has_the_registrys_file_name() -> None:
    """Without fal's usual prefix; of other owners with the whole id."""
    assert file_name("fal-ai/kling-video/v3/pro/image-to-video") == "v3-pro-image-to-video.json"
    assert file_name("kling/v4/flash/image-to-video") == "kling-v4-flash-image-to-video.json"


def test_another_file_is_only_replaced_when_asked(tmp_path: Path) -> None:
    """What is equal is left; no other files stay behind; anybody may read the draft, as the other files."""
    folder = tmp_path / "new" / "drafts"
    assert write_draft(folder, "a.json", "one", overwrite=False) == "written"
    assert write_draft(folder, "a.json", "one", overwrite=False) == "unchanged"
    assert write_draft(folder, "a.json", "two", overwrite=False) == "kept"
    assert (folder / "a.json").read_text("utf-8") == "one"
    assert write_draft(folder, "a.json", "two", overwrite=True) == "replaced"
    assert (folder / "a.json").read_text("utf-8") == "two"
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    assert stat.S_IMODE((folder / "a.json").stat().st_mode) == 0o644


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """With --overwrite the link is replaced, and its target stays."""
    (tmp_path / "target").write_text("other", "utf-8")
    (tmp_path / "a.json").symlink_to(tmp_path / "target")
    assert write_draft(tmp_path, "a.json", "one", overwrite=False) == "kept"
    assert write_draft(tmp_path, "a.json", "one", overwrite=True) == "replaced"
    assert (tmp_path / "target").read_text("utf-8") == "other"


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """It names the file."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(Failure, match=r"file/a\.json cannot be written \(.+\)\.$"):
        write_draft(tmp_path / "file", "a.json", "one", overwrite=False)
