"""Uploads with a storage: any host takes any part, files count by team, and what goes is gone."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.errors import StorageAway
from app.domain.limits import Limit, Unit, Window
from tests.integration.admin import administrator
from tests.integration.refusals import assert_problem
from tests.integration.uploads import (
    IN_PARTS,
    bearing,
    completed,
    content_at,
    cut,
    initiated,
    picture,
    put_parts,
    started,
    upload_token,
    uploaded,
    uploaded_as,
    without_key,
)
from tests.support.clips import clip, large
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.s3_server import S3Server
from tests.support.server import Server, running_server
from tests.support.stack import ADMIN_KEY, Stack, environment, open_stack
from workers.storage_deletion import delete_due

pytestmark = pytest.mark.anyio

MB = 1024 * 1024
DAY_MS = 86_400_000
MODEL = "fal-ai/kling-video/v2/master/image-to-video"


@pytest.fixture
async def keeper(store: RedisServer, emulator: Emulator, bucket: S3Server) -> AsyncIterator[Stack]:
    """A gateway whose files are in the bucket."""
    async with open_stack(store, emulator, **bucket.settings) as made:
        yield made


@pytest.fixture(scope="module")
async def hosts(redis_server: RedisServer, emulator: Emulator, s3: S3Server) -> AsyncIterator[list[Server]]:
    """Two API hosts, each with a data directory of its own."""
    async with AsyncExitStack() as both:
        yield [
            await both.enter_async_context(running_server(environment(redis_server, emulator, **s3.settings)))
            for _ in range(2)
        ]


@asynccontextmanager
async def calling(host: Server, key: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """A client of one host."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=host.url, headers=headers, trust_env=False, timeout=60) as web:
        yield web


def at(host: Server, address: str) -> str:
    """An address of the gateway as this host's own; all have the same public name."""
    return address.replace("http://filmgate.test", host.url)


async def limited(stack: Stack, storage_bytes: int) -> None:
    """Give the team a storage limit."""
    await stack.gateway.administration.change_team("test", stack.account.team.id, storage_bytes=storage_bytes)


async def test_two_hosts_take_alternating_parts(keeper: Stack, hosts: list[Server], bucket: S3Server) -> None:
    """A picture by signature and a large video by token: either host has either's parts, and completes the file."""
    one, two = hosts
    for content, name in ((picture(), "a.png"), (large(clip("mp4"), 12 * MB), "clip.mp4")):
        async with calling(one) as first, calling(two) as second:
            if name == "a.png":
                address, headers = (await initiated(keeper.api, where=IN_PARTS))["upload_url"], dict[str, str]()
                file_url = ""
            else:
                credential = await upload_token(keeper.api)
                headers = bearing(credential)
                address = await started(keeper.api, credential)
                file_url = address.partition("/multipart/")[0]
            parts, named = cut(content, 4), []
            for number, part in parts.items():
                host, web = (one, first) if number % 2 else (two, second)
                named += await put_parts(web, at(host, address), {number: part}, **headers)
            assert len([found for found in bucket.objects() if found.startswith("parts/")]) == 4
            reply = await completed(second, at(two, address), named, **headers)
            assert reply.status_code == 200, reply.text
            again = await completed(first, at(one, address), named, **headers)
            assert (again.status_code, again.content) == (200, reply.content)
        await delete_due(keeper.gateway)
        (kept,) = bucket.objects()
        assert kept.startswith(f"files/{keeper.account.team.id}/file_")
        assert bucket.content(kept) == content
        if file_url:
            redirect = await keeper.api.get(file_url)
            assert await content_at(redirect.headers["location"]) == content
        use = await keeper.gateway.stores.kept_files.use(keeper.account.team.id)
        assert (use.used, use.held) == (len(content), 0)
        bucket.empty()
        keeper.redis.apply("DEL", "fg:kept", "fg:kept:sizes", "fg:kept:bytes")


def doors(stack: Stack, content: bytes) -> dict[str, Awaitable[httpx.Response]]:
    """Every way in which this picture may come, each as a call that is not made yet."""
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    job = stack.body()
    job["input"]["image_url"] = uri

    async def at_a_target() -> httpx.Response:
        async with without_key(stack) as web:
            return await web.put((await initiated(stack.api))["upload_url"], content=content)

    async def as_a_part() -> httpx.Response:
        path, _, query = (await initiated(stack.api, where=IN_PARTS))["upload_url"].partition("?")
        async with without_key(stack) as web:
            return await web.put(f"{path}/1?{query}", content=content)

    return {
        "form": stack.api.post("/v1/files", files={"file": ("a.png", content, "image/png")}),
        "whole": uploaded_as(stack.api, content, "image/png"),
        "target": at_a_target(),
        "part": as_a_part(),
        "data URI": stack.api.post("/v1/jobs", json=job),
        "fal's queue": stack.api.post(f"/fal/queue/{MODEL}", json=job["input"]),
    }


async def test_a_storage_limit_refuses_what_is_too_much_and_says_why(keeper: Stack, bucket: S3Server) -> None:
    """At every door: used, held and left; nothing is stored, nothing is admitted. An erased job makes room."""
    content = picture()
    await limited(keeper, 3 * len(content) // 2)
    body = keeper.body()
    body["input"]["image_url"] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    job = (await keeper.api.post("/v1/jobs", json=body)).json()
    before = bucket.objects()
    assert len(before) == 1
    for name, call in doors(keeper, picture(colour=9)).items():
        reply = await call
        assert reply.status_code == 403, (name, reply.text)
        for words in (f"{len(content) / 1000:.1f} kB are used", "0 bytes are held", "are left", "storage limit"):
            assert words in reply.text, (name, reply.text)
        if "problem" in reply.headers["content-type"]:
            assert_problem(reply, 403, "over_storage")
    assert bucket.objects() == before
    assert len((await keeper.api.get("/v1/jobs")).json()["data"]) == 1
    me = (await keeper.api.get("/v1/me")).json()
    async with administrator(keeper) as admin:
        report = await admin.done("GET", "storage")
    of_team = {"team": keeper.account.team.id, "name": keeper.account.team.name}
    assert report["data"] == [{**me["storage"], **of_team, "retention_days": me["retention_days"]}]
    assert (report["kept"], report["used_bytes"], me["retention_days"]) == (True, len(content), 30)
    assert me["storage"] == {
        "used_bytes": len(content),
        "held_bytes": 0,
        "limit_bytes": 3 * len(content) // 2,
        "left_bytes": 3 * len(content) // 2 - len(content),
    }
    assert (await keeper.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
    assert (await keeper.api.delete(f"/v1/jobs/{job['id']}")).status_code == 204
    await uploaded(keeper.api)
    await delete_due(keeper.gateway)
    assert len(bucket.objects()) == 1
    assert bucket.objects() != before


async def test_what_nothing_names_goes_at_once(keeper: Stack, bucket: S3Server) -> None:
    """Images of a job that is refused after they were stored, and a target that expired while its bytes came."""
    team = keeper.account.team.id
    redis: Any = keeper.gateway.stores.redis
    await keeper.gateway.limits.replace("test", team, [Limit(Unit.USD, Window.TOTAL, 0)])
    body = keeper.body()
    body["input"]["image_url"] = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    assert_problem(await keeper.api.post("/v1/jobs", json=body), 402, "over_budget")
    upload = await initiated(keeper.api)
    file_id = upload["file_url"].split("/files/")[1].split("/")[0]

    async def slow() -> AsyncIterator[bytes]:
        yield picture()[:100]
        await redis.delete(f"fg:upload:{team}:{file_id}")
        yield picture()[100:]

    async with without_key(keeper) as web:
        assert (await web.put(upload["upload_url"], content=slow())).status_code == 404
    await delete_due(keeper.gateway)
    assert bucket.objects() == []
    use = await keeper.gateway.stores.kept_files.use(team)
    assert (use.used, use.held) == (0, 0)


async def test_a_held_part_counts_until_its_upload_is_complete(keeper: Stack) -> None:
    """Parts on their way are held; afterwards the file alone is used."""
    content = picture()
    await limited(keeper, 2 * len(content) - 1)
    async with without_key(keeper) as web:
        upload = await initiated(keeper.api, where=IN_PARTS)
        named = await put_parts(web, upload["upload_url"], cut(content, 2))
        reply = await keeper.api.post("/v1/files", files={"file": ("a.png", content, "image/png")})
        assert_problem(reply, 403, "over_storage")
        assert f"{len(content) / 1000:.1f} kB are held" in reply.text
        assert (await completed(web, upload["upload_url"], named)).status_code == 200  # never counted twice
    use = await keeper.gateway.stores.kept_files.use(keeper.account.team.id)
    assert (use.used, use.held, use.left) == (len(content), 0, len(content) - 1)


async def test_a_bucket_that_is_away_refuses_clearly_and_loses_nothing(
    keeper: Stack, pipeline: Pipeline, bucket: S3Server
) -> None:
    """503 at every door while it is down, and while its key is wrong; what was erased meanwhile goes afterwards."""
    body = keeper.body()
    body["input"]["image_url"] = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    job = (await keeper.api.post("/v1/jobs", json=body)).json()
    upload = await initiated(keeper.api, where=IN_PARTS)
    async with without_key(keeper) as web:
        named = await put_parts(web, upload["upload_url"], cut(picture(colour=3), 2))
    before = bucket.objects()
    assert len(before) == 3
    for make_unusable in (bucket.kill, lambda: bucket.start(secret="another-secret-than-filmgates")):
        make_unusable()
        calls = doors(keeper, picture(colour=9))
        async with without_key(keeper) as web:
            last = completed(web, upload["upload_url"], named)
            replies = await asyncio.gather(*calls.values(), last)
        for name, reply in zip([*calls, "complete"], replies, strict=True):
            assert reply.status_code == 503, (name, reply.text)
            assert int(reply.headers["retry-after"]) > 0, name
            assert "storage" in reply.text, name
        if make_unusable == bucket.kill:
            assert (await keeper.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
            assert (await keeper.api.delete(f"/v1/jobs/{job['id']}")).status_code == 204
            with pytest.raises(StorageAway):
                await delete_due(keeper.gateway)
    assert len((await keeper.api.get("/v1/jobs")).json()["data"]) == 1
    bucket.kill()
    bucket.start()
    async with without_key(keeper) as web:
        assert (await completed(web, upload["upload_url"], named)).status_code == 200
    await due_now(keeper, *before)  # two minutes later
    await delete_due(keeper.gateway)
    (left,) = bucket.objects()
    assert bucket.content(left) == picture(colour=3)


async def due_now(stack: Stack, *names: str) -> None:
    """Let the time of these files be over, or of all."""
    redis: Any = stack.gateway.stores.redis
    for name in names or await redis.zrange("fg:kept", 0, -1):
        await redis.zadd("fg:kept", {name: 0})


async def test_a_team_has_its_own_retention(keeper: Stack, pipeline: Pipeline) -> None:
    """Jobs that end, and files that are stored, stay for its days; without, for the gateway's."""
    redis: Any = keeper.gateway.stores.redis
    team = f"/v1/admin/teams/{keeper.account.team.id}"
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    for days, expected in ((60, 60), ("gateway", 30), (8, 8)):
        reply = await keeper.api.patch(team, json={"retention_days": days}, headers=admin)
        assert reply.json()["retention_days"] == (None if days == "gateway" else days)
        job = await keeper.submit()
        assert (await keeper.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
        left_ms = await redis.pttl(f"fg:job:{keeper.account.team.id}/{job['id']}")
        assert abs(left_ms - expected * DAY_MS) < 60_000
        await uploaded(keeper.api)
        (name,) = await redis.zrange("fg:kept", 0, -1)
        due_ms = await redis.zscore("fg:kept", name)
        assert abs(due_ms - await keeper.gateway.stores.clock.now_ms() - expected * DAY_MS - 3_600_000) < 60_000
        await due_now(keeper)
        await delete_due(keeper.gateway)
    for wrong in (7, 3651, "ever", 9.5, True):
        reply = await keeper.api.patch(team, json={"retention_days": wrong}, headers=admin)
        assert_problem(reply, 422, "invalid_input")
    for wrong in (-1, 10**16, "none", "1", False):
        reply = await keeper.api.patch(team, json={"storage_bytes": wrong}, headers=admin)
        assert_problem(reply, 422, "invalid_input")


async def test_a_clip_that_a_job_shows_is_never_deleted(keeper: Stack, bucket: S3Server) -> None:
    """Whatever its own time says, it stays until its job is erased or gone; erased, it goes at once."""
    gateway, team = keeper.gateway, keeper.account.team.id
    assert gateway.storage is not None
    job = await keeper.submit()
    shown, lost = (f"clips/{team}/{owner}/video.mp4" for owner in (job["id"], "job_of_before"))
    for name in (shown, lost):
        await gateway.stores.kept_files.hold(name, 5)
        await gateway.storage.put(name, b"12345", content_type="video/mp4")
        assert await gateway.stores.kept_files.keep(name, 5)
    await due_now(keeper)
    await delete_due(gateway)
    assert bucket.objects() == [shown]
    assert (await keeper.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
    await due_now(keeper)
    await delete_due(gateway)
    assert bucket.objects() == [shown]
    assert (await keeper.api.delete(f"/v1/jobs/{job['id']}")).status_code == 204
    await due_now(keeper)
    await delete_due(gateway)
    assert bucket.objects() == []


async def test_abandoned_files_go_and_a_killed_deletion_goes_on(
    keeper: Stack, bucket: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of an upload that nobody completed, a file whose process died: deleted in batches, by the next one."""
    gateway, team = keeper.gateway, keeper.account.team.id
    kept = gateway.stores.kept_files
    redis: Any = gateway.stores.redis
    assert gateway.storage is not None
    monkeypatch.setattr("workers.storage_deletion.BATCH", 4)
    upload = await initiated(keeper.api, where=IN_PARTS)
    async with without_key(keeper) as web:
        await put_parts(web, upload["upload_url"], cut(picture(), 3))
    for number in range(9):  # of most there is no object, as after a crash before the first byte
        await kept.hold(f"files/{team}/file_{number}.png", 100)
    await gateway.storage.put(f"files/{team}/file_7.png", b"7", content_type="image/png")
    assert (await kept.use(team)).held == len(picture()) + 900
    assert await kept.take_due(200) == []  # their time is not over
    await due_now(keeper)
    await kept.take_due(5)  # and its process dies
    assert (await kept.use(team)).used == 0
    await delete_due(gateway)
    assert await redis.zcard("fg:kept") == 5
    await due_now(keeper)  # two minutes later
    await delete_due(gateway)
    assert bucket.objects() == []
    assert await redis.zcard("fg:kept") == 0
    assert await redis.hlen("fg:kept:sizes") == 0
    use = await kept.use(team)
    assert (use.used, use.held) == (0, 0)


async def test_a_kept_file_is_sent_to_fal_again_before_fal_forgets_it(keeper: Stack, bucket: S3Server) -> None:
    """An upload of last week still makes a job: fal gets the same bytes again, once. What is gone is refused."""
    upload = await initiated(keeper.api)
    async with without_key(keeper) as web:
        assert (await web.put(upload["upload_url"], content=picture())).status_code == 200
    first = (await keeper.api.get(upload["file_url"])).headers["location"]
    assert (await keeper.api.get(upload["file_url"])).headers["location"] == first
    file_id = upload["file_url"].split("/files/")[1].split("/")[0]
    record = f"fg:upload:{keeper.account.team.id}:{file_id}"
    redis: Any = keeper.gateway.stores.redis

    async def days_later() -> None:
        await redis.hset(record, "sent_ms", await keeper.gateway.stores.clock.now_ms() - 6 * DAY_MS)

    await days_later()
    again = (await keeper.api.get(upload["file_url"])).headers["location"]
    assert again != first
    assert await content_at(again) == picture()
    assert (await keeper.api.get(upload["file_url"])).headers["location"] == again
    body = keeper.body()
    body["input"]["image_url"] = upload["file_url"]
    job = (await keeper.api.post("/v1/jobs", json=body)).json()
    assert job["input"]["image_url"]["url"] == again
    assert (await keeper.api.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
    assert (await keeper.api.delete(f"/v1/jobs/{job['id']}")).status_code == 204
    await delete_due(keeper.gateway)
    assert bucket.objects() == []
    await days_later()
    assert_problem(await keeper.api.post("/v1/jobs", json=body), 422, "url_not_allowed")


async def test_parts_stay_in_the_storage_they_began_in(
    keeper: Stack, store: RedisServer, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with other settings refuses them, and says so; a folder as storage takes its own until it is full."""
    async with open_stack(store, emulator, FILMGATE_STORAGE=f"local:{tmp_path / 'kept'}") as other:
        upload = await initiated(keeper.api, where=IN_PARTS)
        path, _, query = upload["upload_url"].partition("?")
        async with without_key(keeper) as web, without_key(other) as elsewhere:
            assert (await web.put(f"{path}/1?{query}", content=b"x")).status_code == 200
            reply = await elsewhere.put(f"{path}/2?{query}", content=b"y")
            assert (reply.status_code, "same" in reply.text) == (400, True), reply.text
            own = await initiated(other.api, where=IN_PARTS)
            named = await put_parts(elsewhere, own["upload_url"], cut(picture(), 2))
            assert (await completed(elsewhere, own["upload_url"], named)).status_code == 200
            monkeypatch.setattr("app.media.storage.RESERVE_BYTES", 10**18)
            for call in doors(other, picture(colour=9)).values():
                assert (await call).status_code == 503
        await delete_due(other.gateway)
    assert [file.read_bytes() for file in (tmp_path / "kept").rglob("*.png")] == [picture()]
    assert not list((tmp_path / "kept").rglob("*-*"))
