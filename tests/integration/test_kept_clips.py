"""Finished clips are copied to the storage, and every caller gets the address of the copy."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from app.domain.clips import KeptFile, is_kept
from app.domain.jobs import Status
from app.domain.store_role import StoreRole
from app.gateway import open_gateway
from app.services.clip_copies import ClipCopies
from app.store import keys
from tests.integration.fal_queue import path_of, submitted
from tests.integration.kept_clips import address_of, anybody, kept
from tests.support.emulator import Emulator
from tests.support.pipeline import DAY_MS, Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.s3_server import S3Server
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from workers.storage_care import care_for_storage

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keeping(store: RedisServer, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A gateway that keeps clips in a folder; a test calls the step itself."""
    async with open_stack(store, emulator, FILMGATE_STORAGE=f"local:{tmp_path}/kept") as stack:
        yield Pipeline(stack)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of a storage: a folder, or a bucket of a real S3 server."""
    if request.param == "folder":
        return {"FILMGATE_STORAGE": f"local:{tmp_path}/kept"}
    settings: dict[str, str] = request.getfixturevalue("bucket").settings
    return settings


@pytest.fixture
async def anywhere(store: RedisServer, emulator: Emulator, place: dict[str, str]) -> AsyncIterator[Pipeline]:
    """A gateway that keeps clips there."""
    async with open_stack(store, emulator, **place) as stack:
        yield Pipeline(stack)


async def test_a_clip_is_copied_and_its_address_stays_the_same(anywhere: Pipeline) -> None:
    """Before the copy it leads to fal, afterwards to the same bytes here, for as long as the job is kept."""
    job = await anywhere.ended()
    before = await anywhere.stack.job(job.id)
    address = before["output"]["video"]["url"]
    assert address.startswith(f"http://filmgate.test/v1/clips/{anywhere.team}/{job.id}/video.mp4?")
    redirect = await anybody(anywhere, address)
    assert (redirect.status_code, redirect.headers["location"]) == (307, (job.output or {})["video"]["url"])
    async with httpx.AsyncClient(trust_env=False) as web:
        original = (await web.get(redirect.headers["location"])).content
    assert job.status is Status.SUCCEEDED
    await kept(anywhere, job.id)
    after = await anywhere.stack.job(job.id)
    video = after["output"]["video"]
    assert video["url"] == address
    assert (video["sha256"], video["file_size"]) == (hashlib.sha256(original).hexdigest(), len(original))
    assert (video["width"], video["height"], video["duration"]) == (640, 360, 5.0)
    for reply in (await anybody(anywhere, address), await anywhere.stack.api.get(f"/v1/jobs/{job.id}/video")):
        assert (reply.status_code, reply.content) == (200, original)
        assert reply.headers["content-type"] == "video/mp4"
    record = await anywhere.job(job.id)
    assert (record.expires_ms or 0) - (record.completed_ms or 0) == pytest.approx(30 * DAY_MS, abs=5000)
    assert await anywhere.redis.object("encoding", keys.job(anywhere.ref(job.id))) == "listpack"
    assert await anywhere.due("keep") == []
    assert (record.input, record.logs, record.nonce) == (job.input, job.logs, job.nonce)


async def test_a_clip_that_fal_does_not_give_stays_at_fal(keeping: Pipeline) -> None:
    """The job has succeeded; the copy is tried again until fal's expires, after three failures with an alarm."""
    jobs = [await keeping.ended(f"[emu:{tag}] a lake") for tag in ("media_html", "media_403")]
    for attempt in range(1, 4):
        assert await keeping.gateway.stores.alarms.active() == []
        for job in jobs:
            after = await kept(keeping, job.id)
            assert (after.status, after.copy_failures) == (Status.SUCCEEDED, attempt)
            assert (await anybody(keeping, await address_of(keeping, job.id))).status_code == 307
    (alarm,) = await keeping.gateway.stores.alarms.active()
    assert (alarm.kind, alarm.message[:22]) == ("clips_uncopied", "2 jobs' clips cannot b")
    assert alarm.job == jobs[1].id
    for job in reversed(jobs):
        await keeping.write(job.id, expires_ms=1)
        await kept(keeping, job.id)
        await care_for_storage(keeping.gateway)  # the sentence is about those that are left
        left = [(alarm.job, alarm.message[:25]) for alarm in await keeping.gateway.stores.alarms.active()]
        assert left == ([(jobs[0].id, "1 job's clip cannot be co")] if job is jobs[1] else [])
    assert await keeping.due("keep") == []
    assert await keeping.gateway.stores.alarms.active() == []
    newest = await keeping.gateway.stores.alarms.newest(10)
    assert [row.kind for row in newest].count("clip_lost") == 1  # one in an hour, however many there are


async def test_an_erased_job_ends_the_alarm_about_its_clip(keeping: Pipeline) -> None:
    """Its clip is not copied any more, so the alarm does not wait for the next one that is."""
    job = await keeping.ended("[emu:media_403] a lake")
    for _ in range(3):
        await kept(keeping, job.id)
    assert [alarm.kind for alarm in await keeping.gateway.stores.alarms.active()] == ["clips_uncopied"]
    assert (await keeping.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    await care_for_storage(keeping.gateway)
    assert await keeping.gateway.stores.alarms.active() == []
    assert await keeping.due("keep") == []


async def test_a_clip_of_an_erased_job_is_not_kept(anywhere: Pipeline) -> None:
    """Erased before its copy, it is due no more; erased meanwhile, the copy is deleted again."""
    early, late = await anywhere.ended(), await anywhere.ended()
    await anywhere.stack.api.delete(f"/v1/jobs/{early.id}")
    await kept(anywhere, early.id)
    storage, copies = anywhere.gateway.storage, anywhere.gateway.clip_copies
    assert storage is not None
    assert copies is not None
    whole = copies.copy

    async def copy_and_erase(url: str, key: str, *, through: BinaryIO | None) -> KeptFile:
        done = await whole(url, key, through=through)
        assert await anywhere.store.erase(await anywhere.job(late.id))
        assert await storage.head(key) is not None
        return done

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ClipCopies, "copy", staticmethod(copy_and_erase))
        await kept(anywhere, late.id)
    assert (await anywhere.job(late.id)).erased
    await care_for_storage(anywhere.gateway)
    assert [stored async for page in storage.list("clips") for stored in page] == []
    assert await anywhere.due("keep") == []


async def test_a_storage_that_fails_loses_no_job(keeping: Pipeline, tmp_path: Path) -> None:
    """Its alarm is raised, and a copy is tried again, not counted; a trial that goes well ends the alarm."""
    job = await keeping.ended()
    folder = tmp_path / "kept"
    folder.write_text("in its way")
    after = await kept(keeping, job.id)
    assert (after.status, after.copy_failures) == (Status.SUCCEEDED, 0)
    assert [alarm.kind for alarm in await keeping.gateway.stores.alarms.active()] == ["storage_away"]
    await care_for_storage(keeping.gateway)
    assert [alarm.kind for alarm in await keeping.gateway.stores.alarms.active()] == ["storage_away"]
    folder.unlink()
    await care_for_storage(keeping.gateway)
    assert await keeping.gateway.stores.alarms.active() == []
    assert is_kept((await kept(keeping, job.id)).output)


async def test_a_kept_clip_that_cannot_be_read_is_read_at_fal(keeping: Pipeline, tmp_path: Path) -> None:
    """While fal has it: a redirect. Afterwards 503 when the storage is away, 404 when the clip is gone."""
    job = await keeping.ended()
    fal_url = (job.output or {})["video"]["url"]
    await kept(keeping, job.id)
    address, kept_at = await address_of(keeping, job.id), tmp_path / "kept" / "clips"
    kept_at.rename(tmp_path / "elsewhere")
    assert (await anybody(keeping, address)).headers["location"] == fal_url
    await keeping.write(job.id, completed_ms=1)
    gone = await anybody(keeping, address)
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    kept_at.write_text("in its way")
    away = await anybody(keeping, address)
    assert (away.status_code, away.json()["code"]) == (503, "storage_unavailable")
    assert away.json()["detail"].endswith("cannot be used as it is set; an operator must correct that.")
    assert str(tmp_path) not in away.text


@pytest.fixture
async def waiting(store: RedisServer, emulator: Emulator, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A gateway whose jobs succeed when their clips are kept."""
    place = {"FILMGATE_STORAGE": f"local:{tmp_path}/kept", "FILMGATE_STORAGE_WAIT": "1"}
    async with open_stack(store, emulator, **place) as stack:
        yield Pipeline(stack)


async def test_a_job_waits_for_its_copy_without_a_slot(waiting: Pipeline) -> None:
    """Until then it is finalizing and shows no clip; its first and only success has the copy."""
    job = await waiting.completed((await waiting.bought()).id)
    assert (await waiting.finalize(job.id)).status is Status.FINALIZING
    shown = await waiting.stack.job(job.id)
    assert (shown["status"], shown["output"], await waiting.slot(job.id)) == ("finalizing", None, None)
    assert (await waiting.gateway.stores.buying.sweep()).rescheduled == [], "the sweep of each minute ends the wait"
    assert (await waiting.stack.api.get(f"/v1/jobs/{job.id}/video")).status_code == 409
    assert (await waiting.stack.api.post(f"/v1/jobs/{job.id}/cancel")).status_code == 202  # fal's truth decides
    await kept(waiting, job.id)
    assert await waiting.due("keep") == []
    _, due = await waiting.gateway.stores.due.take("finalize", limit=9, visibility_ms=1)
    assert due == [waiting.ref(job.id)]
    ended = await waiting.finalize(job.id)
    assert (ended.status, is_kept(ended.output), ended.pending_output) == (Status.SUCCEEDED, True, None)
    assert await waiting.entries(job.id) == ["reserve", "settle"]
    assert (await anybody(waiting, await address_of(waiting, job.id))).status_code == 200
    assert await waiting.due("keep") == []


@pytest.mark.parametrize("fault", ["the storage is away", "fal gives no clip"])
async def test_a_job_does_not_wait_for_ever(waiting: Pipeline, tmp_path: Path, fault: str) -> None:
    """After four minutes, or three refused copies, it succeeds with fal's clip; a later copy is recorded too."""
    tag = "[emu:media_html] " if "fal" in fault else ""
    job = await waiting.completed((await waiting.bought(f"{tag}a lake")).id)
    await waiting.finalize(job.id)
    folder = tmp_path / "kept"
    if not tag:
        folder.write_text("in its way")
    for _ in range(3):
        assert (await kept(waiting, job.id)).status is Status.FINALIZING
    left_ms = await waiting.redis.zscore(keys.due("finalize"), waiting.ref(job.id))
    now_ms = await waiting.gateway.stores.clock.now_ms()
    assert left_ms - now_ms < 240_000
    assert (left_ms < now_ms) is bool(tag)
    ended = await waiting.finalize(job.id)
    assert (ended.status, is_kept(ended.output)) == (Status.SUCCEEDED, False)
    assert (await anybody(waiting, await address_of(waiting, job.id))).status_code == 307
    assert await waiting.due("keep") == [waiting.ref(job.id)]
    if not tag:
        folder.unlink()
        assert is_kept((await kept(waiting, job.id)).output)


async def test_a_clip_counts_against_its_teams_storage_limit(keeping: Pipeline) -> None:
    """What is too much stays at fal, with an alarm; with more room it is copied, and stays for the team's days."""
    gateway, team = keeping.gateway, keeping.team
    await gateway.administration.change_team("test", team, storage_bytes=100, retention_days=60)
    job = await keeping.ended()
    for _ in range(3):
        assert not is_kept((await kept(keeping, job.id)).output)
    assert (await anybody(keeping, await address_of(keeping, job.id))).status_code == 307
    (alarm,) = await gateway.stores.alarms.active()
    assert alarm.kind == "clips_uncopied"
    assert f"storage limit of {team} is reached; raise it" in alarm.message
    assert "Your team" not in alarm.message
    for _ in range(4):  # however long it lasts: soon after there is room, it is copied
        assert (await kept(keeping, job.id)).copy_failures == 3
        due_ms = await keeping.redis.zscore(keys.due("keep"), keeping.ref(job.id))
        assert due_ms - await gateway.stores.clock.now_ms() < 61_000
    await gateway.administration.change_team("test", team, storage_bytes=10**9)
    copied = await kept(keeping, job.id)
    assert is_kept(copied.output)
    assert await gateway.stores.alarms.active() == []
    use = await gateway.stores.kept_files.use(team)
    assert (use.used, use.held) == ((copied.output or {})["video"]["kept"]["size"], 0)
    left_ms = await keeping.redis.pttl(keys.job(keeping.ref(job.id)))
    assert left_ms == pytest.approx(60 * DAY_MS, abs=60_000)
    assert (copied.expires_ms or 0) - (copied.completed_ms or 0) == pytest.approx(60 * DAY_MS, abs=5000)
    due_ms = await keeping.redis.zscore(keys.KEPT, f"clips/{team}/{job.id}/video")
    assert due_ms - await gateway.stores.clock.now_ms() == pytest.approx(60 * DAY_MS + 3_600_000, abs=60_000)


async def test_everybody_gets_the_kept_address(
    store: RedisServer, emulator: Emulator, place: dict[str, str]
) -> None:
    """With real workers: fal's clients and all webhooks name it; it gives the clip, until that is erased."""
    wait = {"FILMGATE_STORAGE_WAIT": "1", "FILMGATE_POSTERS": "1"}
    async with Receiver() as receiver, open_stack(store, emulator, **place, **wait) as stack, stack.workers():
        pipeline = Pipeline(stack)
        asked = await submitted(stack, params={"fal_webhook": f"{receiver.url}/fal"})
        own = await stack.submit("another lake", webhook_url=f"{receiver.url}/own")
        messages = {request.target: json.loads(request.body) for request in await receiver.wait_for(2, timeout=40)}
        result = await stack.api.get(path_of(asked["request_id"]))
        addresses = {
            messages["/fal"]["payload"]["video"]["url"],
            result.json()["video"]["url"],
            await address_of(pipeline, asked["request_id"]),
        }
        assert len(addresses) == 1
        video = messages["/own"]["data"]["output"]["video"]
        assert (video["url"], "sha256" in video) == (await address_of(pipeline, own["id"]), True)
        for address in (*addresses, video["url"]):
            clip = await anybody(pipeline, address)
            assert (clip.status_code, clip.content[4:8]) == (200, b"ftyp")
        assert (await stack.api.delete(f"/v1/jobs/{own['id']}")).status_code == 204
        await stack.submit("a third lake")

        async def has(job_id: str) -> bool:
            assert stack.gateway.storage is not None
            return await stack.gateway.storage.head(f"clips/{pipeline.team}/{job_id}/video") is not None

        async def deleted() -> bool:
            return not await has(own["id"])

        async def has_poster() -> bool:
            return "poster" in (await stack.job(asked["request_id"]))["output"]["video"]

        await wait_until(deleted, "the workers have deleted the erased clip", timeout=30)
        await wait_until(has_poster, "the workers have made a poster of the other", timeout=30)
        assert await has(asked["request_id"])


async def test_a_worker_killed_in_the_middle_of_a_copy(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """The half is nowhere to be seen; another worker copies the whole clip, and the job succeeds."""
    clip = (ROOT / "app/emulator/sample.mp4").read_bytes()
    half = asyncio.Event()

    async def hang(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(clip), clip[:5000]))
        await writer.drain()
        half.set()
        await asyncio.Event().wait()

    async with Receiver() as fal:
        place = {"FILMGATE_STORAGE": f"local:{tmp_path}/kept", "FILMGATE_STORAGE_WAIT": "1"}
        url = {"FILMGATE_FAL_QUEUE_URL": fal.url, "FILMGATE_FAL_REST_URL": fal.url}
        output = json.dumps({"video": {"url": f"{fal.url}/output.mp4"}}).encode()
        fal.answers([Reply(200, body=b'{"request_id": "abc-1"}'), Reply(200, body=b'{"status": "COMPLETED"}')])
        fal.answers([Reply(200, body=output), hang, Reply(200, body=clip)])
        async with open_stack(store, emulator, **place, **url) as stack, stack.workers() as workers:
            job = await stack.submit()
            await asyncio.wait_for(half.wait(), 30)
            assert not list((tmp_path / "kept").rglob("video*"))
            workers.kill_children("storage")
            await Pipeline(stack).make_due("keep", Pipeline(stack).ref(job["id"]))
            ended = await stack.until(job["id"], "succeeded", timeout=40)
            assert ended["output"]["video"]["sha256"] == hashlib.sha256(clip).hexdigest()


async def test_a_bucket_that_comes_back_gets_its_clips(
    store: RedisServer, emulator: Emulator, bucket: S3Server
) -> None:
    """Two hosts with one bucket: while it is away nothing is lost, and what one has kept the other gives."""
    async with open_stack(store, emulator, **bucket.settings) as stack:
        pipeline = Pipeline(stack)
        early, late = await kept(pipeline, (await pipeline.ended()).id), await pipeline.ended()
        bucket.kill()
        assert (await kept(pipeline, late.id)).copy_failures == 0
        (alarm,) = await stack.gateway.stores.alarms.active()
        assert (alarm.kind, "does not answer" in alarm.message) == ("storage_away", True)
        addresses = [await address_of(pipeline, job.id) for job in (early, late)]
        assert [(await anybody(pipeline, url)).status_code for url in addresses] == [307, 307]
        bucket.start()
        await care_for_storage(stack.gateway)
        assert await stack.gateway.stores.alarms.active() == []
        assert is_kept((await kept(pipeline, late.id)).output)
        async with open_gateway(stack.settings, process="other", role=StoreRole.ALL) as other:
            for job in (early, late):
                chunks = await other.clips.open(await pipeline.job(job.id), "video", start=4, length=4)
                assert not isinstance(chunks, str)
                assert b"".join([chunk async for chunk in chunks]) == b"ftyp"


async def test_the_bucket_gives_clips_itself_where_that_is_set(
    store: RedisServer, emulator: Emulator, bucket: S3Server
) -> None:
    """With `direct=1` the address leads to a signed one of the bucket, which gives parts too."""
    settings = {**bucket.settings, "FILMGATE_STORAGE": f"{bucket.setting}&direct=1"}
    async with open_stack(store, emulator, **settings) as stack, httpx.AsyncClient(trust_env=False) as web:
        pipeline = Pipeline(stack)
        job = await kept(pipeline, (await pipeline.ended()).id)
        sent = await anybody(pipeline, await address_of(pipeline, job.id))
        assert (sent.status_code, sent.headers["location"].startswith(bucket.endpoint)) == (307, True)
        part = await web.get(sent.headers["location"], headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
