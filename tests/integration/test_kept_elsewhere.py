"""A storage that is not the one from before: not mounted, made anew, another's; and one that is accepted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.clips import is_kept
from app.domain.errors import StorageAway
from app.domain.storage_address import read_storage_address
from app.media.storage import MARK, Storage
from app.services.storage_mark import StorageMark
from app.starting import require_storage
from app.stores import Stores
from tests.integration.kept_clips import address_of, anybody, kept
from tests.integration.refusals import assert_problem
from tests.integration.uploads import IN_PARTS, completed, cut, initiated, picture, put_parts, without_key
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server
from tests.support.stack import Stack, open_stack
from workers.storage_care import care_for_storage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keeping(store: RedisServer, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A gateway that keeps clips in a folder, which was there at its start."""
    async with open_stack(store, emulator, FILMGATE_STORAGE=f"local:{tmp_path}/share/kept") as stack:
        await require_storage(stack.gateway.storage, stack.gateway.stores.alarms)
        yield Pipeline(stack)


def files_in(folder: Path) -> list[str]:
    """The files of a folder, without its mark."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != MARK)


def everything_in(folder: Path) -> list[str]:
    """The names of all that is in a folder, if it is there."""
    return sorted(path.name for path in folder.rglob("*"))


async def active(stack: Stack) -> list[str]:
    """The sentences of the alarm `storage_away`."""
    alarms = await stack.gateway.stores.alarms.active()
    return [alarm.message for alarm in alarms if alarm.kind == "storage_away"]


async def test_a_disk_that_is_not_mounted_loses_and_gets_nothing(keeping: Pipeline, tmp_path: Path) -> None:
    """Whether its folder is gone or empty: nothing is written there, all is tried again, and the alarm says why."""
    stack, gateway, folder, disk = keeping.stack, keeping.gateway, tmp_path / "share" / "kept", tmp_path / "disk"
    erased, read, late = [await keeping.ended() for _ in range(3)]
    for job in (erased, read):
        await kept(keeping, job.id)
    await keeping.write(read.id, completed_ms=1)
    upload = await initiated(stack.api, where=IN_PARTS)
    async with without_key(stack) as web:
        named = await put_parts(web, upload["upload_url"], cut(picture(), 2))
        before = files_in(folder)
        folder.parent.rename(disk)
        for mount_point in (None, folder):
            if mount_point is not None:
                mount_point.mkdir(parents=True)
            assert (await kept(keeping, late.id)).copy_failures == 0
            await care_for_storage(gateway)
            (sentence,) = await active(stack)
            assert "`filmgate storage adopt`" in sentence
            assert ("no such folder" in sentence) is (mount_point is None)
            sent = await stack.api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
            for refused in (sent, await completed(web, upload["upload_url"], named)):
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
            assert_problem(sent, 503, "storage_unavailable")
            assert (await anybody(keeping, await address_of(keeping, read.id))).status_code == 503
            assert (await stack.api.delete(f"/v1/jobs/{erased.id}")).status_code == 204
            await require_storage(gateway.storage, gateway.stores.alarms)  # it starts all the same
            assert everything_in(tmp_path / "share") == ([] if mount_point is None else ["kept"])
        folder.rmdir()
        folder.parent.rmdir()
        disk.rename(folder.parent)
        assert files_in(folder) == before
        assert (await completed(web, upload["upload_url"], named)).status_code == 200
    redis = keeping.redis
    await redis.zadd("fg:kept", dict.fromkeys(await redis.zrange("fg:kept", 0, -1), 0))  # two minutes later
    await care_for_storage(gateway)
    assert await active(stack) == []
    assert is_kept((await kept(keeping, late.id)).output)
    assert not list(folder.glob(f"clips/*/{erased.id}"))
    assert (await anybody(keeping, await address_of(keeping, read.id))).status_code == 200


async def test_another_storage_is_used_when_it_is_accepted(keeping: Pipeline, tmp_path: Path) -> None:
    """One with another's mark, or none: an alarm, until an administrator accepts it. It is in the audit log."""
    stack, gateway, folder = keeping.stack, keeping.gateway, tmp_path / "share" / "kept"
    job = await keeping.ended()
    for content in ("storage_of_somebody\n", None):
        (folder / MARK).unlink()
        if content is not None:
            (folder / MARK).write_text(content)
        await care_for_storage(gateway)
        (sentence,) = await active(stack)
        assert ("another's" if content else "no mark") in sentence
        assert not is_kept((await kept(keeping, job.id)).output)
        assert gateway.storage is not None
        mark = await gateway.storage_mark.adopt("test", gateway.storage)
        assert mark.startswith("storage_")
        assert (folder / MARK).read_text().splitlines()[0] == mark
        await care_for_storage(gateway)
        assert await active(stack) == []
    assert is_kept((await kept(keeping, job.id)).output)
    (newest, *_) = await gateway.audit.page(before=None, count=1)
    assert (newest.action, newest.target) == ("storage.adopt", mark)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """An address, and the key of a bucket."""
    if request.param == "folder":
        return f"local:{tmp_path}/kept", {}
    bucket: S3Server = request.getfixturevalue("bucket")
    key_id, secret = (bucket.settings[f"FILMGATE_STORAGE_{name}"] for name in ("KEY_ID", "SECRET"))
    return bucket.setting, {"key_id": key_id, "secret": secret}


async def test_processes_that_start_together_make_one_mark(stack: Stack, place: tuple[str, dict[str, str]]) -> None:
    """On an empty store and a storage of before: with objects and no mark, or with a mark, which is taken over."""
    stores: Stores = stack.gateway.stores
    address = read_storage_address(place[0])
    assert address is not None
    keys: Any = place[1]

    def opened() -> Storage:
        return Storage(address, **keys, check=StorageMark(stores.storage_mark).require)

    first = opened()
    await first.write_mark("storage_before")
    await asyncio.gather(*(opened().trial() for _ in range(4)))
    assert await first.mark() == (await stores.storage_mark.known()).id == "storage_before"
    unchecked = Storage(address, **keys)
    await unchecked.delete([MARK])
    with pytest.raises(StorageAway):
        await opened().trial()
    await stores.redis.delete("fg:storage")
    await stores.redis.hset("fg:kept:bytes", "team_a used", 5)
    with pytest.raises(StorageAway) as refused:  # files are counted, and none is there
        await opened().trial()
    assert refused.value.reason == "unmarked"
    assert await unchecked.mark() is None
    await unchecked.put("clips/a/b/video", b"12345", content_type="video/mp4")
    await asyncio.gather(*(opened().trial() for _ in range(4)))
    mark = await first.mark()
    assert mark == (await stores.storage_mark.known()).id
    assert mark not in {None, "storage_before"}
    await unchecked.delete([MARK])
