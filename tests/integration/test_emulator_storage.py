"""Uploads work as both of fal's clients make them, and files can be read in ranges."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.emulator.files import Files
from tests.support.emulator import Emulator, FalCaller, running_emulator

pytestmark = pytest.mark.anyio
PART = 10 * 2**20


@pytest.fixture(scope="module")
async def fal() -> AsyncIterator[Emulator]:
    """An emulator that accepts only one key, so that a missing permission shows."""
    async with running_emulator("--key", "kid:ksecret", "--no-clips") as emulator:
        yield emulator


@pytest.fixture
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, like a browser's plain fetch."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as one:
        yield one


async def _initiate(caller: FalCaller, path: str = "initiate", kind: str = "fal-cdn-v3") -> dict[str, str]:
    body = {"file_name": "my photo.png", "content_type": "image/png"}
    answer = await caller.web.post(f"/storage/upload/{path}", params={"storage_type": kind}, json=body)
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()
    return found


@pytest.mark.parametrize("kind", ["fal-cdn-v3", "gcs"])
async def test_an_initiated_upload_is_put_without_a_key(
    fal: Emulator, caller: FalCaller, stranger: httpx.AsyncClient, kind: str
) -> None:
    """initiate, PUT by signature alone, GET by anyone; both on the emulator's own origin."""
    where = await _initiate(caller, kind=kind)
    assert where["upload_url"].startswith(fal.url)
    assert (await stranger.get(where["file_url"])).status_code == 404
    assert (await stranger.put(where["upload_url"], content=b"png bytes")).status_code == 200
    answer = await stranger.get(where["file_url"])
    assert (answer.content, answer.headers["content-type"]) == (b"png bytes", "image/png")


async def test_an_upload_needs_its_signature(caller: FalCaller, stranger: httpx.AsyncClient) -> None:
    """Changed, missing or another file's: 403, and no file is stored."""
    where, other = await _initiate(caller), await _initiate(caller)
    plain, _, query = where["upload_url"].partition("?")
    foreign = other["upload_url"].partition("?")[2]
    for url in (plain, f"{plain}?{query[:-1]}x", f"{plain}?{foreign}", f"{plain}?expires=1&signature=0"):
        assert (await stranger.put(url, content=b"x")).status_code == 403
    assert (await stranger.get(where["file_url"])).status_code == 404


def test_a_signature_expires(tmp_path: Path) -> None:
    """A genuine signature for a past time is refused; one for a later time is accepted."""
    files = Files(tmp_path)
    for expires, valid in (("1", False), (str(int(time.time()) + 60), True)):
        assert files.is_signed("a file", expires, files.sign(f"a file\n{expires}")) is valid


async def test_initiating_needs_a_key(fal: Emulator, stranger: httpx.AsyncClient) -> None:
    """With fal's message."""
    answer = await stranger.post(f"{fal.url}/storage/upload/initiate", json={})
    assert (answer.status_code, answer.json()) == (401, {"detail": "Authorization header is required"})


async def _cdn_token(caller: FalCaller) -> dict[str, Any]:
    answer = await caller.web.post("/storage/auth/token", params={"storage_type": "fal-cdn-v3"}, json={})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_pythons_client_uploads_with_a_cdn_token(
    fal: Emulator, caller: FalCaller, stranger: httpx.AsyncClient
) -> None:
    """token, POST of raw bytes as Bearer, access_url; the key itself is not needed for the second step."""
    token = await _cdn_token(caller)
    assert set(token) == {"token", "token_type", "base_url", "expires_at"}
    assert (token["token_type"], token["base_url"]) == ("Bearer", fal.url)
    headers = {
        "Authorization": f"Bearer {token['token']}",
        "Content-Type": "image/jpeg",
        "X-Fal-File-Name": "a.jpg",
    }
    answer = await stranger.post(f"{fal.url}/files/upload", content=b"jpeg bytes", headers=headers)
    read = await stranger.get(answer.json()["access_url"])
    assert (read.content, read.headers["content-type"]) == (b"jpeg bytes", "image/jpeg")
    forged = {**headers, "Authorization": f"Bearer {token['token'][:-1]}x"}
    refused = await stranger.post(f"{fal.url}/files/upload", content=b"x", headers=forged)
    assert refused.status_code == 401


async def test_pythons_large_upload_completes_in_any_order(
    fal: Emulator, caller: FalCaller, stranger: httpx.AsyncClient
) -> None:
    """10 MiB parts, ETag in the header, listed in the order in which they finished."""
    bearer = {"Authorization": f"Bearer {(await _cdn_token(caller))['token']}"}
    begun = (await stranger.post(f"{fal.url}/files/upload/multipart", headers=bearer)).json()
    parts = [os.urandom(PART), os.urandom(PART), os.urandom(1000)]
    done = []
    for number in (3, 1, 2):
        url = f"{begun['access_url']}/multipart/{begun['uploadId']}/{number}"
        answer = await stranger.put(url, content=parts[number - 1], headers=bearer)
        done.append({"partNumber": number, "etag": answer.headers["etag"]})
    unauthorised = await stranger.put(f"{begun['access_url']}/multipart/{begun['uploadId']}/1", content=b"x")
    assert unauthorised.status_code == 403
    complete = f"{begun['access_url']}/multipart/{begun['uploadId']}/complete"
    assert (await stranger.post(complete, json={"parts": done}, headers=bearer)).status_code == 200
    assert (await stranger.get(begun["access_url"])).content == b"".join(parts)


async def test_javascripts_large_upload_reads_etags_from_the_body(
    caller: FalCaller, stranger: httpx.AsyncClient
) -> None:
    """initiate-multipart; parts and complete are below the signed URL's path; no key anywhere."""
    where = await _initiate(caller, "initiate-multipart")
    path, _, query = where["upload_url"].partition("?")
    done = []
    for number, content in ((1, b"one "), (2, b"two")):
        answer = await stranger.put(f"{path}/{number}?{query}", content=content)
        assert answer.json()["partNumber"] == number
        done.append(answer.json())
    assert (await stranger.post(f"{path}/complete?{query}", json={"parts": done})).status_code == 200
    assert (await stranger.get(where["file_url"])).content == b"one two"


async def test_a_missing_part_is_an_error(caller: FalCaller, stranger: httpx.AsyncClient) -> None:
    """400, and no file."""
    where = await _initiate(caller, "initiate-multipart")
    path, _, query = where["upload_url"].partition("?")
    parts = [{"partNumber": 1, "etag": "x"}]
    assert (await stranger.post(f"{path}/complete?{query}", json={"parts": parts})).status_code == 400
    assert (await stranger.get(where["file_url"])).status_code == 404


async def test_files_can_be_read_in_ranges(caller: FalCaller, stranger: httpx.AsyncClient) -> None:
    """206 with the part, 416 beyond the end; players and mirrors depend on it."""
    where = await _initiate(caller)
    await stranger.put(where["upload_url"], content=b"0123456789")
    part = await stranger.get(where["file_url"], headers={"Range": "bytes=2-4"})
    beyond = await stranger.get(where["file_url"], headers={"Range": "bytes=50-"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert beyond.status_code == 416


async def test_a_name_cannot_leave_the_folder(caller: FalCaller, stranger: httpx.AsyncClient) -> None:
    """Slashes and dots of a file name are not kept."""
    body = {"file_name": "../../etc/passwd", "content_type": "text/plain"}
    where = (await caller.web.post("/storage/upload/initiate", json=body)).json()
    assert ".." not in where["file_url"]
    assert (await stranger.put(where["upload_url"], content=b"x")).status_code == 200
    assert (await stranger.get(where["file_url"])).content == b"x"


async def test_tokens_are_a_json_string(caller: FalCaller) -> None:
    """For realtime clients; three segments, like a JWT."""
    answer = await caller.web.post("/tokens/", json={"allowed_apps": ["kling-video"], "token_expiration": 120})
    assert answer.status_code == 200
    assert answer.json().count(".") == 2
