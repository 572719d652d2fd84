"""Copies of files from a server that breaks off, lies or sends something else: whole in the storage, or none."""

import asyncio
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.domain.storage_address import StorageAddress
from app.fal.client import FalClient
from app.media.storage import Storage
from app.services import clip_copies
from app.services.clip_copies import ClipCopies, NotCopied
from tests.support.repo import ROOT

pytestmark = pytest.mark.anyio

CLIP = (ROOT / "app/emulator/sample.mp4").read_bytes()
KEY = "clips/team_a/job_b/video"
RANGE = re.compile(rb"range: bytes=(\d+)-", re.IGNORECASE)

Answer = Callable[[int], tuple[bytes, bytes]]  # from the first byte that is asked for: the head and the body


def whole(body: bytes = CLIP, *, length: int | None = None, kind: str = "video/mp4") -> Answer:
    """200 with this body, and this length in its head."""
    head = f'HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nETag: "1"\r\nContent-Length: {length or len(body)}\r\n\r\n'
    return lambda _: (head.encode(), body)


def cut(size: int) -> Answer:
    """The clip, from where it is asked for, and the connection breaks after so many bytes."""

    def answer(start: int) -> tuple[bytes, bytes]:
        extent = f"bytes {start}-{len(CLIP) - 1}/{len(CLIP)}"
        status = f"206 Partial Content\r\nContent-Range: {extent}" if start else "200 OK"
        head = f'HTTP/1.1 {status}\r\nETag: "1"\r\nContent-Length: {len(CLIP) - start}\r\n\r\n'
        return head.encode(), CLIP[start : start + size]

    return answer


def refused(status: str) -> Answer:
    """Another status, with a page."""
    return lambda _: (f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\n".encode(), b"page")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(body: bytes) -> bytes:
    """The body as one chunk, and the last one."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@asynccontextmanager
async def media(*answers: Answer) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that gives these answers in turn, the last one again; its URL, and the bytes it was asked from."""
    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        found = RANGE.search(request)
        asked.append(int(found[1]) if found else 0)
        head, body = answers[min(len(asked), len(answers)) - 1](asked[-1])
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@asynccontextmanager
async def copying(url: str, folder: Path) -> AsyncIterator[tuple[ClipCopies, Storage]]:
    """What copies from this fal into a folder."""
    storage = Storage(StorageAddress("local", str(folder / "kept")))
    await storage.write_mark("storage_test")
    fal = FalClient(queue_url=url, rest_url=url, key=None)

    async def hold(key: str, size: int) -> None:
        assert size > 0, key

    yield ClipCopies(fal, storage, folder=folder / "copies", hold=hold), storage
    await fal.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between attempts."""
    monkeypatch.setattr(clip_copies, "PAUSE_S", 0.01)


THIRD = len(CLIP) // 3
COPIED: dict[str, tuple[tuple[Answer, ...], list[int]]] = {
    "at once": ((whole(),), [0]),
    "in chunks": ((lambda _: (CHUNKED, chunked(CLIP)),), [0]),
    "from where it broke": ((cut(THIRD), cut(THIRD), cut(len(CLIP))), [0, THIRD, 2 * THIRD]),
    "after more breaks than are allowed without a byte": ((cut(THIRD // 4),), []),
    "again from the beginning": ((cut(THIRD), whole()), [0, THIRD]),
    "after a fault of fal": ((refused("502 Bad Gateway"), refused("503 Busy"), whole()), [0, 0, 0]),
    "by its bytes, not its type": ((whole(kind="text/html"),), [0]),
}


@pytest.mark.parametrize(("answers", "asked"), COPIED.values(), ids=COPIED)
async def test_a_file_is_copied_whole(tmp_path: Path, answers: tuple[Answer, ...], asked: list[int]) -> None:
    """Its size, hash and measures are those of the bytes, and the storage has exactly these."""
    async with media(*answers) as (url, starts), copying(url, tmp_path) as (copies, storage):
        kept = await copies.copy(f"{url}/output.mp4", KEY)
        assert (kept.size, kept.sha256) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
        assert (kept.content_type, kept.width, kept.height) == ("video/mp4", 640, 360)
        async with storage.read(KEY) as (_, chunks):
            assert b"".join([chunk async for chunk in chunks]) == CLIP
        assert starts == asked or not asked


HTML = b"<!doctype html><title>502</title>" * 100
REFUSED: dict[str, tuple[Answer, str, bool]] = {
    "a web page": (whole(HTML), "no video or sound", True),
    "nothing": (whole(b"", length=0), "no video or sound", True),
    "a picture": (whole(b"\xff\xd8\xff\xe0" + bytes(2000), kind="image/jpeg"), "no video or sound", True),
    "a length that is too short": (whole(CLIP[:-100]), "cut off", True),
    "a clip that breaks off, in chunks": (lambda _: (CHUNKED, chunked(CLIP[:5000])), "cut off", True),
    "a length that is too long": (whole(CLIP, length=len(CLIP) + 1), "broke", False),
    "more than a clip may have": (whole(CLIP, length=2 * 1024**3), "more than", True),
    "no answer that is one": (lambda _: (b"nonsense\r\n\r\n", b""), "broke", False),
    "403": (refused("403 Forbidden"), "403", False),
    "404": (refused("404 Not Found"), "404", False),
    "a redirect": (refused("302 Found\r\nLocation: http://127.0.0.1:1/"), "302", False),
    "always 500": (refused("500 Oops"), "500", False),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "words", "is_refused"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_whole_file_is_not_copied(
    tmp_path: Path, answer: Answer, words: str, *, is_refused: bool
) -> None:
    """A sentence for the operator says why; the storage has nothing."""
    async with media(answer) as (url, _), copying(url, tmp_path) as (copies, storage):
        with pytest.raises(NotCopied, match=words) as caught:
            await copies.copy(f"{url}/output.mp4", KEY)
        assert caught.value.refused is is_refused
        assert [page async for page in storage.list("clips")] == []
        assert not list((tmp_path / "copies").iterdir())


async def test_a_file_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    """An address that is not fal's is not called, though it is in a record of fal's answer."""
    async with media(whole()) as (url, starts), copying("http://127.0.0.1:9", tmp_path) as (copies, _):
        with pytest.raises(NotCopied, match="not one of fal's"):
            await copies.copy(f"{url}/output.mp4", KEY)
        assert starts == []


async def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    """A file that would not leave 1 GB free is not begun: the copy is tried again later."""
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("only Linux mounts a small disk like this")
    small = tmp_path / "copies"
    small.mkdir()
    tmpfs = ["-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)]
    if subprocess.run([mount, *tmpfs], check=False, capture_output=True).returncode:  # noqa: ASYNC221, S603
        pytest.skip("this user may not mount a disk")
    try:
        async with media(whole()) as (url, starts), copying(url, tmp_path) as (copies, storage):
            with pytest.raises(NotCopied, match="no room"):
                await copies.copy(f"{url}/output.mp4", KEY)
            assert (starts, [page async for page in storage.list("clips")]) == ([], [])
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)  # noqa: ASYNC221, S603, S607
