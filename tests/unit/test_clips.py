"""A job's files as callers see them."""

from typing import Any

import pytest

from app.domain.clips import file_title, is_signed, name_of, shown_output, sign, storage_key
from app.domain.jobs import Job, Priority, Status

FAL = "https://v3.fal.media/files/a/"
TITLES: dict[str, tuple[dict[str, Any], str]] = {
    "its ending": ({"url": f"{FAL}out.webm"}, "video.webm"),
    "in capitals": ({"url": f"{FAL}OUT.MP4?x=.exe"}, "video.mp4"),
    "its type": ({"url": f"{FAL}out", "content_type": "video/quicktime"}, "video.mov"),
    "neither": ({"url": f"{FAL}out"}, "video.mp4"),
    "a page": ({"url": f"{FAL}out.html", "content_type": "text/html"}, "video.mp4"),
    "a path": ({"url": f"{FAL}..%2f..%2fevil", "file_name": "../../evil.sh"}, "video.mp4"),
}


def job(**more: Any) -> Job:
    """A job that has succeeded."""
    order = {
        "team": "team_a",
        "user": "u",
        "key": "k",
        "model": "m",
        "input": None,
        "quoted_micro": 1,
    }
    record = {
        "seconds": 5,
        "price_version": "1",
        "priority": Priority.NORMAL,
        "id": "job_b",
        "status": Status.SUCCEEDED,
    }
    return Job(**order, **record, created_ms=1, deadline_ms=2, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("file", "title"), TITLES.values(), ids=TITLES)
def test_a_file_is_named_by_us(file: dict[str, Any], title: str) -> None:
    """Whatever fal calls it: a name of ours with an ending of a fixed list."""
    assert file_title("video", file) == title
    assert storage_key(job(), "video") == "clips/team_a/job_b/video"
    assert (name_of(title), name_of("other.mp4")) == ("video", None)


def test_an_output_shows_nothing_of_ours() -> None:
    """Without a storage it is fal's own; with one it has our address, and no member that is only for us."""
    video = {"url": f"{FAL}out.mp4"}
    output = {"video": video, "duration": 5.0}
    assert shown_output(job(output=output), base_url="https://x") == output
    kept = {"size": 7, "sha256": "ab", "content_type": "video/mp4", "at_ms": 1, "seconds": "5.04"}
    owned = job(output={"video": {**video, "kept": kept}}, clip_secret="s" * 22, clip_until_ms=9_000)
    shown = shown_output(owned, base_url="https://x")
    assert shown is not None
    url = shown["video"].pop("url")
    assert shown["video"] == {"content_type": "video/mp4", "file_size": 7, "sha256": "ab", "duration": 5.04}
    signature = sign(owned, "video", 9)
    assert url == f"https://x/v1/clips/team_a/job_b/video.mp4?expires=9&signature={signature}"
    assert is_signed(owned, "video", "9", signature)
    assert not is_signed(owned, "audio", "9", signature)
    assert not is_signed(job(output=output), "video", "9", signature)  # a job without a secret signs nothing
