"""The storage room on a real folder and on real servers: all is written or nothing, and every fault is ours."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.domain.errors import StorageAway
from app.domain.storage_address import read_storage_address
from app.media.storage import MARK, NothingStored, Storage, Stored
from app.media.storage_errors import fault_words
from tests.support.azure_server import WRONG_SECRET, AzureServer
from tests.support.s3_server import STRANGER, S3Server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]  # the first one of all may fetch a server

KEY = "clips/team_a/job_b/video.mp4"
LARGE = os.urandom(6_000_000)  # in parts at a bucket


def opened(place: str) -> Storage:
    """The storage at this address."""
    address = read_storage_address(place)
    assert address is not None
    return Storage(address)


@dataclass(frozen=True, slots=True)
class Provider:
    """A server, settings that are right, and wrong ones with the reason that they give."""

    server: S3Server | AzureServer
    right: dict[str, str]
    wrong: list[tuple[str, dict[str, str]]]
    gone: int  # the status of a signed address whose time is over

    def opened(self, changed: Mapping[str, str] | None = None) -> Storage:
        """The storage of these settings; Google's key is read at its first call."""
        given = {**self.right, **(changed or {})}
        if "GOOGLE_APPLICATION_CREDENTIALS" in given:
            os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = given["GOOGLE_APPLICATION_CREDENTIALS"]
        address = read_storage_address(given["FILMGATE_STORAGE"])
        assert address is not None
        key_id, secret = given.get("FILMGATE_STORAGE_KEY_ID"), given.get("FILMGATE_STORAGE_SECRET")
        return Storage(address, key_id=key_id, secret=secret)


def of_s3(bucket: S3Server) -> Provider:
    """S3, with a key that has no rights, and a wrong one."""
    wrong = [("denied", bucket.strangers_settings), ("denied", {"FILMGATE_STORAGE_SECRET": "another-secret"})]
    return Provider(bucket, bucket.settings, wrong, 403)


def of_google(bucket: S3Server) -> Provider:
    """Google, with an account that has no rights, one that is not known, and no file."""
    missing = {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"}
    denied = [("denied", bucket.google_settings(user)) for user in (STRANGER, "nobody")]
    return Provider(bucket, bucket.google_settings(), [*denied, ("unusable", missing)], 400)


def of_azure(azure: AzureServer) -> Provider:
    """Azure, with a wrong key, and with one that is none; each test has a prefix of its own."""
    wrong = [("denied", WRONG_SECRET), ("unusable", "no base64!")]
    settings = azure.settings(secrets.token_hex(8))
    return Provider(azure, settings, [(why, {"FILMGATE_STORAGE_SECRET": secret}) for why, secret in wrong], 403)


PROVIDERS = {"s3": of_s3, "google": of_google}


def provider_of(kind: str, request: pytest.FixtureRequest) -> Provider:
    """The server of this kind, empty."""
    request.getfixturevalue("monkeypatch").setenv("GOOGLE_APPLICATION_CREDENTIALS", "")  # restored afterwards
    if kind == "azure":
        return of_azure(request.getfixturevalue("azure"))
    return PROVIDERS[kind](request.getfixturevalue("bucket"))


@pytest.fixture(params=[*PROVIDERS, "azure"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """A server of each kind, which a test may kill."""
    made = provider_of(request.param, request)
    yield made
    made.server.restore()


async def used_first(storage: Storage) -> None:
    """As the first start does it."""
    await storage.write_mark("storage_test")
    await storage.trial()


@pytest.fixture(params=["folder", *PROVIDERS, "azure"])
def unused(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder that does not exist, or an empty bucket."""
    if request.param == "folder":
        return opened(f"local:{tmp_path}/kept/here")
    return provider_of(request.param, request).opened()


@pytest.fixture
async def storage(unused: Storage) -> Storage:
    """The same, with a mark."""
    await used_first(unused)
    return unused


async def read(storage: Storage, key: str, *, start: int = 0, length: int | None = None) -> tuple[Stored, bytes]:
    """An object, or a part of it."""
    async with storage.read(key, start=start, length=length) as (stored, chunks):
        return stored, b"".join([chunk async for chunk in chunks])


async def streamed(*, fails: bool = False) -> AsyncIterator[bytes]:
    """LARGE in three chunks; or two of them and a failure."""
    third = len(LARGE) // 3
    for number in range(3):
        if fails and number == 2:
            raise ConnectionResetError
        yield LARGE[number * third : (number + 1) * third]


async def keys(storage: Storage, prefix: str) -> list[str]:
    """The keys below a prefix."""
    return sorted([stored.key async for page in storage.list(prefix) for stored in page])


async def test_what_is_written_is_read_back_whole_and_in_parts(storage: Storage) -> None:
    """Bytes, a file and a stream; every range; a list; a deletion, also of what is not there."""
    with tempfile.TemporaryFile() as file:
        file.write(LARGE)
        for content in (b"small", LARGE, file, streamed()):
            stored = await storage.put(KEY, content, content_type="video/mp4")
            assert stored.size == (5 if content == b"small" else len(LARGE))
    assert (await storage.head(KEY), (await read(storage, KEY))[1]) == (stored, LARGE)
    for start, length in ((0, 10), (5, 1), (2_999_999, 1_000_000), (len(LARGE) - 1, None), (7, None)):
        end = None if length is None else start + length
        assert (await read(storage, KEY, start=start, length=length))[1] == LARGE[start:end]
    for number in range(3):
        await storage.put(f"clips/team_a/job_{number}/video.mp4", b"x", content_type="video/mp4")
    await storage.put("clips/team_ab/job_9/video.mp4", b"x", content_type="video/mp4")
    assert await keys(storage, "clips/team_a") == [f"clips/team_a/job_{name}/video.mp4" for name in "012b"]
    await storage.delete([KEY, "clips/team_a/job_0/video.mp4", "clips/nobody"])
    assert (await storage.head(KEY), len(await keys(storage, "clips/team_a"))) == (None, 2)
    for key, start in ((KEY, 0), ("clips/team_a/job_1/video.mp4", 1)):
        with pytest.raises(NothingStored):
            await read(storage, key, start=start)


async def test_a_stream_that_breaks_leaves_nothing(storage: Storage) -> None:
    """A reader never sees a part of an object; one that was there before stays."""
    with pytest.raises(StorageAway):
        await storage.put(KEY, streamed(fails=True), content_type="video/mp4")
    assert (await storage.head(KEY), await keys(storage, "clips")) == (None, [])
    await storage.put(KEY, b"before", content_type="video/mp4")
    with suppress(StorageAway):
        await storage.put(KEY, streamed(fails=True), content_type="video/mp4")
    assert (await read(storage, KEY))[1] == b"before"


@pytest.fixture(params=["full", "read-only"])
def bad_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A disk of 64 MB, less than is kept free; or one on which nothing may be written."""
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("only Linux mounts a small disk like this")
    options = "ro" if request.param == "read-only" else "size=64m"
    made = subprocess.run(  # noqa: S603 - a path of ours
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("this user may not mount a disk")
    yield request.param, tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)  # noqa: S603, S607 - as above


async def test_a_folder_that_cannot_be_used_is_named_by_the_trial(bad_disk: tuple[str, Path]) -> None:
    """A full disk, a read-only one: one sentence with the folder and the cause."""
    kind, disk = bad_disk
    storage = opened(f"local:{disk}/kept")
    with pytest.raises(StorageAway) as refused:
        await used_first(storage)
    reason, remedy, said = {
        "full": ("full", "is full; make room there (", "is full; an operator must make room."),
        "read-only": ("read_only", "is read-only; mount it", "is read-only; an operator must let it be written."),
    }[kind]
    assert refused.value.reason == reason
    assert f"{disk}/kept {remedy}" in refused.value.sentence
    assert refused.value.message == f"The storage of clips and files {said}"


def test_a_folder_that_refuses_is_not_said_to_have_a_key() -> None:
    """Its remedy is another than a bucket's."""
    assert fault_words("denied", folder=True) == (
        "refuses access; let the user of this process write, read and delete there"
    )
    assert "check its key" in fault_words("denied", folder=False)


async def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    """It says that it is a file, and does not touch it."""
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageAway) as refused:
        await opened(f"local:{tmp_path}/file").mark()
    assert (refused.value.reason, (tmp_path / "file").read_bytes()) == ("unusable", b"mine")
    assert "it is a file" in refused.value.sentence


async def test_a_trial_leaves_nothing_and_a_new_folder_is_private(storage: Storage) -> None:
    """After a trial that went well it is empty, and only this user may look into a folder."""
    await storage.trial()
    assert (await keys(storage, ""), await storage.mark()) == ([MARK], "storage_test")
    if storage.address.kind == "local":
        folder = Path(storage.address.place)
        assert ([path.name for path in folder.iterdir()], folder.stat().st_mode & 0o777) == ([MARK], 0o700)  # noqa: ASYNC240  a few files


async def test_a_bucket_that_cannot_be_used_says_why(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without rights, a wrong one, no bucket, a server that hangs or is gone; then it works again."""
    server, place = provider.server, provider.right["FILMGATE_STORAGE"]
    for reason, given in [*provider.wrong, ("no_bucket", {"FILMGATE_STORAGE": place.replace("kept", "other")})]:
        with pytest.raises(StorageAway) as refused:
            await provider.opened(given).trial()
        assert refused.value.reason == reason, refused.value.sentence
        assert server.endpoint in refused.value.sentence
        assert not [value for name, value in given.items() if "SECRET" in name and value in refused.value.sentence]
    storage = provider.opened()
    await storage.trial()
    monkeypatch.setattr("app.media.storage.CALL_SECONDS", 0.5)
    server.freeze()
    with pytest.raises(StorageAway) as refused:
        await storage.trial()
    assert refused.value.reason == "away"
    server.kill()
    with pytest.raises(StorageAway) as refused:
        await storage.trial()
    assert refused.value.reason == "away"
    server.restore()
    monkeypatch.setattr("app.media.storage.CALL_SECONDS", 30.0)
    await storage.trial()


async def test_a_signed_address_of_a_bucket_needs_no_key_and_ends(provider: Provider) -> None:
    """Anybody reads the object there, a part of it too, until its time is over; a changed one is refused."""
    storage = provider.opened()
    await storage.put(KEY, b"0123456789", content_type="video/mp4")
    short, long = [await storage.signed_url(KEY, seconds=seconds) for seconds in (1, 60)]
    assert short is not None
    assert long is not None
    async with httpx.AsyncClient(trust_env=False) as web:
        whole, part = await web.get(long), await web.get(long, headers={"Range": "bytes=2-4"})
        assert (whole.status_code, whole.content) == (200, b"0123456789")
        assert whole.headers["content-type"] == "video/mp4"
        assert (part.status_code, part.content) == (206, b"234")
        assert (await web.get(long[:-4] + "0000")).status_code == 403

        async def over() -> bool:
            return (await web.get(short)).status_code == provider.gone

        await wait_until(over, "the address has ended", timeout=10)
