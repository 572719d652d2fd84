"""The folder of parts: nothing that is needed is lost, and nothing else stays."""

import io
import os
from pathlib import Path

import pytest

from app.domain.errors import Unavailable, Unprocessable
from app.media.parts import PartFolder

pytestmark = pytest.mark.anyio


def files(root: Path) -> list[str]:
    """Names of all files below, in order."""
    return sorted(path.name for path in root.rglob("*") if path.is_file())


async def test_parts_are_joined_in_the_order_asked_for(tmp_path: Path) -> None:
    """Written in any order; a part that is sent again has its last bytes, and the first ones are deleted."""
    parts = PartFolder(tmp_path / "uploads")
    await parts.write("me", "one", 2, "b", io.BytesIO(b"world"))
    await parts.write("me", "one", 1, "x", io.BytesIO(b"bye "))
    await parts.write("me", "one", 1, "a", io.BytesIO(b"hello "))
    await parts.write("me", "one", 11, "c", io.BytesIO(b"!"))
    async with parts.joined("me", "one", [(1, "a"), (2, "b"), (11, "c")]) as content:
        assert content == b"hello world!"
    assert files(tmp_path) == ["1-a", "11-c", "2-b"]
    with pytest.raises(Unprocessable, match="Part 1 "):
        async with parts.joined("me", "one", [(1, "x")]):
            pass


async def test_dropped_parts_are_gone_and_others_stay(tmp_path: Path) -> None:
    """Dropping an upload twice, or an unknown one, is harmless."""
    parts = PartFolder(tmp_path)
    await parts.write("me", "one", 1, "a", io.BytesIO(b"x"))
    await parts.write("me", "two", 1, "b", io.BytesIO(b"x"))
    await parts.drop("me", "one", [])
    await parts.drop("me", "one", [(1, "a")])
    assert files(tmp_path) == ["1-b"]


async def test_an_unfinished_upload_is_removed_in_time(tmp_path: Path) -> None:
    """The next part of any upload deletes what has not changed for its lifetime."""
    parts = PartFolder(tmp_path, lifetime_s=3600, sweep_s=0)
    await parts.write("me", "old", 1, "a", io.BytesIO(b"x"))
    await parts.write("me", "new", 1, "b", io.BytesIO(b"x"))
    before = (tmp_path / "me" / "old").stat().st_mtime - 3601
    os.utime(tmp_path / "me" / "old", (before, before))
    await parts.write("you", "one", 1, "c", io.BytesIO(b"x"))
    assert files(tmp_path) == ["1-b", "1-c"]


async def test_only_this_program_reads_the_parts(tmp_path: Path) -> None:
    """Not other users of the machine."""
    await PartFolder(tmp_path / "uploads").write("me", "one", 1, "a", io.BytesIO(b"x"))
    assert (tmp_path / "uploads" / "me" / "one").stat().st_mode & 0o077 == 0


async def test_a_folder_has_a_name_of_its_own(tmp_path: Path) -> None:
    """The same for every process that shares it, and for no other; it is no part, and is kept when parts go."""
    names = [await PartFolder(tmp_path / "shared").folder_id() for _ in range(3)]
    assert len({*names, await PartFolder(tmp_path / "other").folder_id()}) == 2
    assert files(tmp_path / "shared") == [".place"]


async def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """Unavailable, with what to do instead, and not a 5xx without a reason."""
    (tmp_path / "uploads").write_text("a file stands in the way")
    parts = PartFolder(tmp_path / "uploads")
    for attempt in (parts.folder_id(), parts.write("me", "one", 1, "a", io.BytesIO(b"x"))):
        with pytest.raises(Unavailable, match="in one go"):
            await attempt
