"""Videos and sound: uploaded at every door, measured, and never kept in memory."""

import asyncio
import hashlib
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.integration.refusals import assert_problem, nothing_changes
from tests.integration.uploads import (
    bearing,
    completed,
    content_at,
    cut,
    initiated,
    picture,
    put_parts,
    started,
    upload_token,
    uploaded_as,
    without_key,
)
from tests.support.clips import CLIPS, SECONDS, clip, large
from tests.support.memory import forget_peak, peak_kb
from tests.support.server import Server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

MB = 1024 * 1024


async def test_every_kind_is_stored_and_measured(stack: Stack) -> None:
    """201 with type, seconds and pixels, and a URL that serves the same bytes; `measured` says it later."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    for name, (_, _, kind) in CLIPS.items():
        content = clip(name)
        reply = await stack.api.post("/v1/files", files={"file": ("evil.exe", content, "text/plain")})
        assert reply.status_code == 201, (name, reply.text)
        stored = reply.json()
        assert (stored["type"], stored["size"]) == (kind, len(content)), name
        assert stored["sha256"] == hashlib.sha256(content).hexdigest()
        assert abs(stored["seconds"] - SECONDS) < 0.15
        assert await content_at(stored["url"]) == content
        known = await stack.gateway.uploads.measured(caller, stored["url"])
        assert known is not None
        assert (known.kind, float(known.seconds or 0)) == (kind.partition("/")[0], stored["seconds"])
        assert (known.width, known.height) == (stored.get("width"), stored.get("height"))
    assert not any(stack.settings.data_dir.joinpath("uploads").glob("tmp*"))


async def test_fals_clients_upload_them_too(stack: Stack) -> None:
    """Whole by a token, at a signed URL, and in parts beyond the size of a picture; their length is known."""
    content, whole_large = clip("mov"), large(clip("mp4"), 40 * MB)
    caller = await stack.gateway.accounts.authenticate(stack.account.key)

    async def assert_known(url: str, wanted: bytes) -> None:
        known = await stack.gateway.uploads.measured(caller, url)
        assert known is not None
        assert (known.kind, known.seconds, known.size) == ("video", Decimal(SECONDS), len(wanted))
        assert await content_at(url) == wanted

    reply = await uploaded_as(stack.api, content, "video/quicktime")
    assert reply.status_code == 200, reply.text
    await assert_known(reply.json()["access_url"], content)
    upload = await initiated(stack.api, name="clip.mov")
    async with without_key(stack) as web:
        for _ in range(2):
            assert (await web.put(upload["upload_url"], content=content)).status_code == 200
        other = await web.put(upload["upload_url"], content=clip("mp4"))
        assert other.status_code == 403
        await assert_known((await stack.api.get(upload["file_url"])).headers["location"], content)
        credential = await upload_token(stack.api)
        address = await started(web, credential)
        named = await put_parts(web, address, cut(whole_large, 4), **bearing(credential))
        reply = await completed(web, address, named, **bearing(credential))
        assert reply.status_code == 200, reply.text
        in_parts = await stack.api.get(address.partition("/multipart/")[0])
        await assert_known(in_parts.headers["location"], whole_large)
    assert not any(path.is_file() for path in stack.settings.data_dir.joinpath("uploads").glob("*/*/*"))


async def test_a_video_is_no_picture_and_a_picture_no_video(stack: Stack) -> None:
    """422 at the field, before anything is bought; a video where one belongs is quoted by its measured length."""
    made = [
        (await stack.api.post("/v1/files", files={"file": ("a", content)})).json()["url"]
        for content in (clip("mp4"), picture())
    ]
    body = stack.body()
    body["input"]["image_url"] = made[0]
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/jobs", json=body)
    assert assert_problem(reply, 422, "not_an_image")["errors"][0]["pointer"] == "/input/image_url"
    edit = {"model": "fal-ai/kling-video/o3/standard/video-to-video/edit"}
    inputs = [{"prompt": "snow", "video_url": url} for url in (*made, "https://example.com/unknown.mp4")]
    replies = [await stack.api.post("/v1/quotes", json={**edit, "input": given}) for given in inputs]
    assert assert_problem(replies[1], 422, "url_not_allowed")["errors"][0]["pointer"] == "/input/video_url"
    known, unknown = replies[0].json(), replies[2].json()
    assert float(known["quoted_usd"]) < float(unknown["quoted_usd"]), "by the measured length, else by the longest"


async def test_a_file_in_a_wrong_field_is_refused_wherever_it_stands(stack: Stack) -> None:
    """422 at the place, also in lists and elements and where no length decides the price; a short sound too."""
    video, short, photo = [
        (await stack.api.post("/v1/files", files={"file": ("a", content)})).json()["url"]
        for content in (clip("mp4"), clip("wav"), picture())
    ]
    first = {"prompt": "snow", "start_image_url": photo}
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("v1.6/pro/effects", {"effect_scene": "hug", "input_image_urls": [photo, video]}, "input_image_urls/1"),
        ("o1/reference-to-video", {"prompt": "snow", "image_urls": [short]}, "image_urls/0"),
        (
            "v3/pro/image-to-video",
            {**first, "elements": [{"frontal_image_url": photo, "reference_image_urls": [video]}]},
            "elements/0/reference_image_urls/0",
        ),
        ("v3/pro/image-to-video", {**first, "elements": [{"video_url": short}]}, "elements/0/video_url"),
        ("create-voice", {"voice_url": photo}, "voice_url"),
        ("create-voice", {"voice_url": short}, "voice_url"),
        ("o1/video-to-video/reference", {"prompt": "snow", "video_url": short}, "video_url"),
    ]
    async with nothing_changes(stack):
        for model, given, place in wrong:
            body = {"model": f"fal-ai/kling-video/{model}", "input": given}
            reply = await stack.api.post("/v1/jobs", json=body)
            assert reply.status_code == 422, (model, place, reply.text)
            assert [error["pointer"] for error in reply.json()["errors"]] == [f"/input/{place}"], model


WRONG = {  # how it begins, with how many bytes behind, and the status
    "cut off": (clip("mp4")[:200], 0, 422),
    "cut off behind its index": (clip("mp4", movflags="frag_keyframe+empty_moov")[:-10], 0, 422),
    "sound without a header": (b"RIFF\0\0\0\0WAVE", 2000, 422),
    "Matroska that is no WebM": (b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska", 2000, 422),
    "a long picture": (b"\x89PNG\r\n\x1a\n", 32 * MB, 413),
    "a long text": (b"hello", 32 * MB, 413),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_no_whole_video_or_sound_is_refused(stack: Stack, case: str) -> None:
    """With a sentence, at both doors; nothing is stored, and nothing stays on the disk."""
    start, more, status = WRONG[case]
    content = start + bytes(more)
    async with nothing_changes(stack):
        reply = await stack.api.post("/v1/files", files={"file": ("a.mp4", content)})
        assert reply.status_code == status, reply.text
    assert_problem(reply, status, reply.json()["code"])
    assert (await uploaded_as(stack.api, content, "video/mp4")).status_code == status


async def test_a_file_over_300_mb_is_refused_by_its_length(server: Server, stack: Stack) -> None:
    """413 before a byte of it is read, at both doors."""
    for path, kind in (("/v1/files", "multipart/form-data; boundary=b"), ("/fal/cdn/files/upload", "video/mp4")):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Key {stack.account.key}\r\nContent-Type: {kind}\r\n"
        )
        answer = await asyncio.to_thread(server.send_raw, f"{head}Content-Length: {302 * MB}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 413 "), answer
        assert b"300 MB" in answer


async def test_a_large_video_takes_no_memory(server: Server, stack: Stack) -> None:
    """80 MB through the process at each door: it grows by less than a sixth of that."""
    big = large(clip("mp4"), 80 * MB)
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Key {stack.account.key}"}, timeout=120
    ) as web:
        await web.post("/v1/files", files={"file": ("a.mp4", clip("mp4"))})
        before = forget_peak(server.pid)
        replies: list[Any] = [
            await web.post("/v1/files", files={"file": ("a.mp4", big)}),
            await web.post("/fal/cdn/files/upload", content=big, headers={"Content-Type": "video/mp4"}),
        ]
    assert [reply.status_code for reply in replies] == [201, 200], [reply.text for reply in replies]
    assert replies[0].json()["seconds"] == SECONDS
    assert peak_kb(server.pid) - before < 13_000  # KB
