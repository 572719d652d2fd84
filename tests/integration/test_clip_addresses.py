"""Addresses of kept clips: who may read them, which bytes, and for how long."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.domain.clips import sign
from app.domain.jobs import Job
from tests.integration.kept_clips import address_of, anybody, kept
from tests.support.callers import second_account
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.storage_care import care_for_storage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def clip(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> AsyncIterator[tuple[Pipeline, Job, bytes]]:
    """A job whose clip is kept, and the clip."""
    async with open_stack(store, emulator, FILMGATE_STORAGE=f"local:{tmp_path}/kept") as stack:
        pipeline = Pipeline(stack)
        job = await kept(pipeline, (await pipeline.ended()).id)
        yield pipeline, job, (await stack.api.get(f"/v1/jobs/{job.id}/video")).content


async def test_a_part_of_a_clip_is_what_the_range_names(clip: tuple[Pipeline, Job, bytes]) -> None:
    """Ranges, conditions and HEAD, at both routes, as players and download programs send them."""
    pipeline, job, content = clip
    size, url = len(content), await address_of(pipeline, job.id)
    whole = await anybody(pipeline, url)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    assert (whole.headers["accept-ranges"], whole.headers["content-length"]) == ("bytes", str(size))
    parts = {
        "bytes=0-": (0, size),
        "bytes=0-99": (0, 100),
        "bytes=100-100": (100, 101),
        f"bytes={size - 5}-": (size - 5, size),
        "bytes=-7": (size - 7, size),
        f"bytes=-{size * 2}": (0, size),
        f"bytes=10-{size * 2}": (10, size),
    }
    for asked, (start, end) in parts.items():
        for reply in (
            await anybody(pipeline, url, Range=asked),
            await pipeline.stack.api.get(f"/v1/jobs/{job.id}/video", headers={"Range": asked, "If-Range": etag}),
            await anybody(pipeline, url, Range=asked, If_Range=modified),
        ):
            assert (reply.status_code, reply.content) == (206, content[start:end]), asked
            assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for headers in (
        {"Range": "bytes=5-4"},
        {"Range": "bytes=0-1,4-5"},
        {"Range": "lines=0-1"},
        {"Range": "bytes=-"},
    ):
        assert (await anybody(pipeline, url, **headers)).status_code == 200, headers
    other = await anybody(pipeline, url, Range="bytes=0-9", If_Range='"another"')
    assert (other.status_code, other.content) == (200, content)
    long = "0" * 20 + "9" * 6000
    for asked, start in ((f"bytes=4-{long}", 4), (f"bytes=-{long}", 0), (f"bytes={'0' * 20}4-", 4)):
        reply = await anybody(pipeline, url, Range=asked)
        assert (reply.status_code, reply.content) == (206, content[start:])
    for beyond in (f"bytes={size}-", "bytes=-0", f"bytes={long}-", f"bytes={long}-{long}"):
        refused = await anybody(pipeline, url, Range=beyond)
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
        assert refused.json()["code"] == "range_not_satisfiable"
    for given in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        unchanged = await anybody(pipeline, url, If_None_Match=given)
        assert (unchanged.status_code, unchanged.content) == (304, b""), given
    assert (await anybody(pipeline, url, If_None_Match='"x"')).status_code == 200
    head = await anybody(pipeline, url, "HEAD", Range="bytes=0-9")
    assert (head.status_code, head.headers["content-length"], head.content) == (206, "10", b"")


async def test_a_clip_that_was_changed_in_the_storage_is_not_the_same(
    clip: tuple[Pipeline, Job, bytes], tmp_path: Path
) -> None:
    """Other bytes have another ETag; another size is not the clip. HEAD says what GET does."""
    pipeline, job, content = clip
    url = await address_of(pipeline, job.id)
    before = await anybody(pipeline, url)
    (file,) = (tmp_path / "kept" / "clips").rglob("video")
    other = content[:-4] + b"mine"
    file.write_bytes(other)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    etag = before.headers["etag"]
    for method, headers in (("GET", {}), ("GET", {"If_None_Match": etag}), ("HEAD", {"If_None_Match": etag})):
        reply = await anybody(pipeline, url, method, **headers)
        assert (reply.status_code, reply.content) == (200, other if method == "GET" else b"")
        assert (reply.headers["etag"] != etag, reply.headers["last-modified"][:16]) == (True, "Tue, 14 Nov 2023")
    resumed = await anybody(pipeline, url, Range="bytes=4-", If_Range=etag)
    assert (resumed.status_code, resumed.content) == (200, other)
    fal_url = (job.output or {})["video"]["url"]
    for change in (lambda: file.write_bytes(content[:-1]), file.unlink):
        change()
        for completed_ms, status in ((job.completed_ms or 0, 307), (1, 404)):
            await pipeline.write(job.id, completed_ms=completed_ms)
            for method in ("GET", "HEAD"):
                reply = await anybody(pipeline, url, method)
                assert (reply.status_code, reply.headers.get("location")) == (
                    status,
                    fal_url if status == 307 else None,
                )


async def test_only_a_signed_address_opens_a_clip(clip: tuple[Pipeline, Job, bytes]) -> None:
    """Any change of it is 404; its time is its own; it works from any web page, and is in no log."""
    pipeline, job, content = clip
    url = await address_of(pipeline, job.id)
    foreign = await kept(pipeline, (await pipeline.ended()).id)
    until, signature = url.rpartition("expires=")[2].split("&signature=")
    path = urlsplit(url).path
    spoilt = "A" if signature[0] != "A" else "B"
    for changed in (
        url.replace(job.id, foreign.id),
        url.replace(job.id, "job_nobody"),
        url.replace("/video.mp4", "/audio.mp3"),
        url.replace("/video.mp4", "/other.mp4"),
        url.replace(until, str(int(until) + 1)),
        *(
            url.replace(until, odd)
            for odd in (f"0{until}", f"%2B{until}", f"%20{until}", f"{until}.0", f"{until}_")
        ),
        url.replace(until, "".join(chr(0xFF10 + int(digit)) for digit in until)),  # full width
        url.replace(signature, spoilt + signature[1:]),
        url.replace(signature, "%C3%A9" + signature[1:]),
    ):
        assert (await anybody(pipeline, changed)).status_code == 404, changed
    assert (await anybody(pipeline, path)).status_code == 422
    past = await anybody(pipeline, f"{path}?expires=1&signature={sign(job, 'video', 1)}")
    assert (past.status_code, past.json()["code"]) == (403, "address_expired")
    opened = await anybody(pipeline, url, Origin="https://shop.example")
    assert (opened.content, opened.headers["access-control-allow-origin"]) == (content, "*")
    expired = f"{path}?expires=1&signature={sign(job, 'video', 1)}"
    asks = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "if-range, range"}
    for status, method, address, headers in (
        (403, "GET", expired, {}),
        (404, "GET", url.replace(signature, spoilt + signature[1:]), {}),
        (416, "GET", url, {"Range": f"bytes={len(content)}-"}),
        (422, "GET", path, {}),
        (405, "OPTIONS", url, {}),
        (405, "DELETE", url, {}),
        (204, "OPTIONS", url, asks),
    ):
        reply = await anybody(pipeline, address, method, Origin="https://shop.example", **headers)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, "*"), address
    assert {"if-range", "range"} <= set(reply.headers["access-control-allow-headers"].lower().split(", "))


async def test_a_link_is_made_for_as_long_as_is_asked(clip: tuple[Pipeline, Job, bytes]) -> None:
    """At most as long as the job is kept; for somebody else's job there is none."""
    pipeline, job, content = clip
    api = pipeline.stack.api
    now_s = await pipeline.gateway.stores.clock.now_ms() // 1000
    for seconds in (60, 2_592_000):
        made = await api.post(f"/v1/jobs/{job.id}/video/link", json={"expires_in": seconds})
        assert made.status_code == 201, made.text
        url = made.json()["url"]
        until_s = int(url.rpartition("expires=")[2].partition("&")[0])
        assert until_s == pytest.approx(min(now_s + seconds, (job.clip_until_ms or 0) // 1000), abs=5)
        assert (await anybody(pipeline, url)).content == content
    for body in ({"expires_in": 0}, {"expires_in": 2_592_001}, {"seconds": 60}):
        assert (await api.post(f"/v1/jobs/{job.id}/video/link", json=body)).status_code == 422
    async with second_account(pipeline.stack) as stranger:
        assert (await stranger.post(f"/v1/jobs/{job.id}/video/link", json={})).status_code == 404


async def test_an_erased_clip_is_gone_from_the_storage(clip: tuple[Pipeline, Job, bytes]) -> None:
    """Its file is deleted, and no address opens anything any more."""
    pipeline, job, _ = clip
    url = await address_of(pipeline, job.id)
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert (await anybody(pipeline, url)).status_code == 404
    erased = await pipeline.stack.api.get(f"/v1/jobs/{job.id}/video")
    assert (erased.status_code, "was erased" in erased.json()["detail"]) == (409, True)
    storage = pipeline.gateway.storage
    assert storage is not None
    await care_for_storage(pipeline.gateway)
    assert [stored async for page in storage.list("clips") for stored in page] == []


async def test_a_kept_clip_can_be_an_input_of_the_next_job(clip: tuple[Pipeline, Job, bytes]) -> None:
    """Fal gets its own address of it, which it reaches; an address that nobody has signed is refused."""
    pipeline, job, _ = clip
    url, model = await address_of(pipeline, job.id), "fal-ai/kling-video/lipsync/text-to-video"
    given = {"video_url": url, "text": "hello", "voice_id": "oversea_male1"}
    reply = await pipeline.stack.api.post("/v1/jobs", json={"model": model, "input": given})
    assert reply.status_code == 202, reply.text
    made = await pipeline.job(reply.json()["id"])
    assert (made.input or {})["video_url"] == (job.output or {})["video"]["url"]
    forged = {**given, "video_url": url[:-1] + ("A" if url[-1] != "A" else "B")}
    refused = await pipeline.stack.api.post("/v1/jobs", json={"model": model, "input": forged})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/input/video_url")
