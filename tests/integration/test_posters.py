"""Posters: the first frame of a kept clip, decoded apart, beside it in the storage."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from app.media.posters import make_poster
from app.store import keys
from tests.integration.kept_clips import anybody, kept
from tests.support.callers import calling
from tests.support.clips import clip
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.stack import open_stack
from workers.storage_care import care_for_storage

pytestmark = pytest.mark.anyio

SAMPLE = (ROOT / "app/emulator/sample.mp4").read_bytes()


@pytest.fixture
async def keeping(store: RedisServer, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A gateway that keeps clips in a folder and makes posters; a test calls the step itself."""
    given = {"FILMGATE_STORAGE": f"local:{tmp_path}/kept", "FILMGATE_POSTERS": "1"}
    async with open_stack(store, emulator, **given) as stack:
        yield Pipeline(stack)


async def test_a_poster_is_kept_and_erased_with_its_clip(keeping: Pipeline) -> None:
    """Its address needs no key, also for readers of a share; its bytes count; the bucket has nothing left of it."""
    before = await keeping.ended()
    assert "poster" not in (await keeping.stack.job(before.id))["output"]["video"]
    job = await kept(keeping, before.id)
    video = (await keeping.stack.job(job.id))["output"]["video"]
    assert not video.keys() & {"kept", "kept_poster"}
    shown = await anybody(keeping, video["poster"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(shown.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (video["width"], video["height"]))
    assert await keeping.redis.object("encoding", keys.job(keeping.ref(job.id))) == "listpack"
    use = await keeping.gateway.stores.kept_files.use(keeping.team)
    assert (use.used, use.held) == (video["file_size"] + len(shown.content), 0)
    made = (await keeping.stack.api.post(f"/v1/jobs/{job.id}/shares", json={})).json()["url"]
    async with calling(keeping.stack, made.partition("#")[2]) as reader:
        (seen,) = (await reader.get("/v1/shares/current")).json()["data"]
    assert seen["video"]["poster"] != video["poster"]  # it ends earlier
    assert (await anybody(keeping, seen["video"]["poster"])).content == shown.content
    assert (await keeping.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert (await anybody(keeping, video["poster"])).status_code == 404
    await care_for_storage(keeping.gateway)
    assert keeping.gateway.storage is not None
    assert [stored async for page in keeping.gateway.storage.list("clips") for stored in page] == []


async def test_a_clip_without_a_poster_is_kept_all_the_same(
    keeping: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its frame is too large, or the team may keep no more: no alarm, no second try, and no such address."""
    for name, value in (("app.media.posters.MAX_PIXELS", 1000), ("app.media.posters.MAX_BYTES", 1000)):
        monkeypatch.setattr(name, value)
        job = await kept(keeping, (await keeping.ended()).id)
        video = (await keeping.stack.job(job.id))["output"]["video"]
        assert ("sha256" in video, "poster" in video) == (True, False)
        monkeypatch.undo()
    limit = (await keeping.gateway.stores.kept_files.use(keeping.team)).used + len(SAMPLE)
    await keeping.gateway.administration.change_team("test", keeping.team, storage_bytes=limit)
    job = await kept(keeping, (await keeping.ended()).id)
    video = (await keeping.stack.job(job.id))["output"]["video"]
    assert ("sha256" in video, "poster" in video) == (True, False)
    assert (await keeping.gateway.stores.alarms.active(), await keeping.due("keep")) == ([], [])


BROKEN = bytes(4000)
FILES = {
    "h264": ("video/mp4", SAMPLE, (640, 360)),
    "webm": ("video/webm", clip("webm"), (128, 96)),
    "a sound": ("audio/mpeg", clip("mp3"), None),
    "a sound in an mp4": ("video/mp4", clip("m4a"), None),
    "another container": ("video/webm", SAMPLE, None),
    "broken pictures": ("video/mp4", SAMPLE[:2005] + BROKEN + SAMPLE[2005 + len(BROKEN) :], None),
    "nothing": ("video/mp4", b"", None),
}


@pytest.mark.parametrize("name", FILES)
async def test_only_a_whole_picture_becomes_a_poster(name: str, tmp_path: Path) -> None:
    """Whatever a decoder makes of the rest, there is none, and nobody waits."""
    kind, content, size = FILES[name]
    (tmp_path / "clip").write_bytes(content)
    with (tmp_path / "clip").open("rb") as file:
        poster = await make_poster(file, kind)
    assert (None if poster is None else (poster.width, poster.height)) == size
