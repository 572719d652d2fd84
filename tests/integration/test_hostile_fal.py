"""With a fal that answers everything oddly every job ends, no list fails, no slot leaks, and no step crashes."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.domain.ids import join_ref
from app.domain.jobs import Status
from app.fal.billing import Bill
from app.fal.errors import UnusableAnswer
from app.fal.history import RequestListing
from app.fal.signature import KeysUnavailable, NotGenuine, Verifier
from app.store import keys
from app.store.jobs import GIVE_UP_MS
from tests.integration.admin import Administrator, administrator
from tests.integration.hostile.fal import HostileFal
from tests.integration.hostile.odd_answers import SHAPES, STORED, http
from tests.integration.uploads import picture
from tests.support.emulator import KLING, Emulator
from tests.support.endpoints import team_admin
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, open_stack
from tests.support.verifying import BODY, FAL, NOW, REQUEST
from tests.support.waiting import wait_until
from tests.support.workers import Workers

pytestmark = pytest.mark.anyio
ASKED = 4  # odd answers before time is advanced for a job: a lost result is read this often
AT_ONCE = 10
ADMIN_KEY = "admin-key-of-the-tests"
FAILED = re.compile(r'"event": ?"(?:[a-z_]+\.failed|step\.set_aside|slots\.swept)"|Traceback')


@pytest.fixture
async def fal() -> AsyncIterator[HostileFal]:
    """The hostile fal."""
    async with HostileFal() as running:
        yield running


@pytest.fixture
async def stack(store: RedisServer, emulator: Emulator, fal: HostileFal) -> AsyncIterator[Stack]:
    """A gateway in front of it, with room for every job at once."""
    settings = {
        "FILMGATE_FAL_QUEUE_URL": fal.url,
        "FILMGATE_FAL_REST_URL": fal.url,
        "FILMGATE_FAL_API_URL": fal.url,
        "FAL_ADMIN_KEY": ADMIN_KEY,
        "FILMGATE_UPSTREAM_CONCURRENCY": "2000",
    }
    async with open_stack(store, emulator, **settings) as made:
        yield made


def strict(text: str) -> Any:
    """Strict JSON, in UTF-8."""
    return json.loads(text, parse_constant=pytest.fail)


class Round:
    """Jobs, one for each shape, from their submission to their end."""

    def __init__(self, stack: Stack, fal: HostileFal, admin: Administrator) -> None:
        self.pipeline = Pipeline(stack)
        self.admin = admin
        self._stack = stack
        self._fal = fal
        self.jobs: dict[str, str] = {}  # the prompt, by the job's id

    async def submit(self, kind: str) -> None:
        """Submit one job for each shape."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(prompt: str) -> None:
            async with room:
                self.jobs[(await self._stack.submit(prompt))["id"]] = prompt

        await asyncio.gather(*(one(f"{kind} {number}") for number in range(len(SHAPES[kind]))))

    async def left(self) -> dict[str, Status]:
        """The jobs that have not ended."""
        refs = [join_ref(self.pipeline.team, job_id) for job_id in self.jobs]
        found = await self.pipeline.store.get_many(refs)
        return {job.id: job.status for job in found if job is not None and not job.status.ended}

    async def seen(self) -> bool:
        """Do what an operator would; True when every live job has got its odd answers."""
        left = await self.left()
        await self._decide(left)
        asked = {job_id: self._fal.asked[self.jobs[job_id]] for job_id in left}
        return all(
            asked[job_id] >= (1 if status is Status.QUEUED else ASKED)
            for job_id, status in left.items()
            if status is not Status.HELD
        )

    async def _decide(self, left: dict[str, Status]) -> None:
        """Fail held jobs, and close a breaker that has opened, as it does after five unclear submissions."""
        for job_id, status in left.items():
            if status is Status.HELD:
                reply = await self.admin.call(
                    "POST", f"jobs/{job_id}/resolve", {"action": "fail", "charged": False}
                )
                assert reply.status_code == 200, reply.text
        buying = await self.pipeline.gateway.stores.buying.state()
        if buying.stopped or buying.half_open:
            await self.admin.call("POST", "resume", {})

    async def end(self) -> bool:
        """True when all have ended; for the others the deadline passes, and then the last moment."""
        left = await self.left()
        await self._decide(left)
        past_ms = await self.pipeline.gateway.stores.clock.now_ms() - GIVE_UP_MS - 1
        pipe = self.pipeline.redis.pipeline()
        for job_id, status in left.items():
            times = {"deadline_ms": past_ms} | ({} if status is Status.QUEUED else {"submitted_ms": past_ms})
            if status in {Status.QUEUED, Status.RUNNING, Status.FINALIZING}:
                pipe.hset(keys.job(self.pipeline.ref(job_id)), mapping=times)
                pipe.zadd(keys.due("expire"), {self.pipeline.ref(job_id): past_ms}, xx=True)
        await pipe.execute()
        return left == {}


async def pages(api: Any, path: str) -> list[Any]:
    """All pages of a list, as strict JSON."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = await api.get(path, params={"limit": 100, **({"cursor": cursor} if cursor else {})})
        assert reply.status_code == 200, reply.text
        page = strict(reply.text)
        found += page["data"]
        cursor = page["next_cursor"] if page["has_more"] else None
    return found


async def test_every_job_ends_whatever_fal_answers(
    stack: Stack, fal: HostileFal, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Hundreds of odd submissions, polls and results, real workers: all jobs end and are shown, nothing is left."""
    log, began = tmp_path / "workers.log", time.monotonic()
    workers = Workers(stack.environment, log=log).start()
    try:
        async with administrator(stack) as admin, team_admin(stack) as colleague:
            jobs = Round(stack, fal, admin)
            for kinds in (("status", "result"), ("submit",)):  # after a 429 fal gets fewer slots for a while
                for kind in kinds:
                    await jobs.submit(kind)
                await wait_until(jobs.seen, "every shape was seen", timeout=90, interval=0.2)
                await wait_until(jobs.end, "every job has ended", timeout=30, interval=0.5)
            say(f"{len(jobs.jobs)} jobs of a hostile fal ended in {time.monotonic() - began:.0f} s")
            for api, path in ((stack.api, "/v1/jobs"), (colleague, "/v1/jobs"), (admin.api, "/v1/admin/jobs")):
                assert {job["id"] for job in await pages(api, path)} == set(jobs.jobs)
            events = await pages(stack.api, "/v1/events")
            assert {event["data"]["id"] for event in events} == set(jobs.jobs)
            await shown_at_fals_door(stack, list(jobs.jobs))
            assert strict((await admin.call("GET", "status")).text)["aside"]["count"] == 0
            assert (await stack.gateway.ledger.verify()).differences == []
            assert await jobs.pipeline.redis.zrange(keys.SLOTS, 0, -1) == []
    finally:
        workers.stop()
    assert FAILED.findall(log.read_text("utf-8")) == []


async def shown_at_fals_door(stack: Stack, job_ids: list[str]) -> None:
    """Status and result of each, as strict JSON."""
    app = "/".join(KLING.split("/")[:2])
    for job_id in job_ids:
        for tail in ("/status?logs=1", ""):
            strict((await stack.api.get(f"/fal/queue/{app}/requests/{job_id}{tail}")).text)


async def test_storage_that_answers_oddly_takes_a_file_or_is_503(stack: Stack, fal: HostileFal) -> None:
    """From both of its calls; nothing else happens."""
    content = picture()
    answers = set()
    for kind in ("storage", "put"):
        for name, shape in SHAPES["storage"].items():
            fal.now["storage"] = shape if kind == "storage" else http(STORED % f"127.0.0.1:{fal.port}".encode())
            fal.now["put"] = shape
            reply = await stack.api.post("/v1/files", files={"file": ("a.png", content, "image/png")})
            assert reply.status_code in {201, 503}, (kind, name, reply.text)
            strict(reply.text)
            answers.add(reply.status_code)
    assert answers == {201, 503}


async def test_a_history_and_a_bill_that_are_odd_are_none(stack: Stack, fal: HostileFal) -> None:
    """Shown whole, or not at all."""
    for shape in SHAPES["history"].values():
        fal.now["history"] = shape
        found = await stack.gateway.fal.history(KLING, start_ms=0, end_ms=1)
        assert isinstance(found, RequestListing | UnusableAnswer)
    for shape in SHAPES["bill"].values():
        fal.now["bill"] = shape
        bill = await stack.gateway.fal.bill(["a"], start_ms=0, end_ms=1)
        assert isinstance(bill, Bill | UnusableAnswer)


async def test_keys_that_are_odd_are_none(fal: HostileFal) -> None:
    """The delivery is refused, and nothing crashes."""
    for name, shape in SHAPES["jwks"].items():
        fal.now["jwks"] = shape
        verifier = Verifier(f"{fal.url}/jwks.json", user_id=None)
        try:
            await verifier.verify(FAL.headers(REQUEST, BODY, at=NOW).items(), BODY, now_s=NOW)
        except (KeysUnavailable, NotGenuine):
            continue
        finally:
            await verifier.aclose()
        pytest.fail(f"believed: {name}")


def test_there_are_as_many_shapes_as_promised() -> None:
    """Of each kind of call, and in total."""
    least = {"submit": 60, "status": 60, "result": 60, "storage": 20, "history": 15, "bill": 15, "jwks": 15}
    assert {kind for kind, count in least.items() if len(SHAPES[kind]) < count} == set()
    assert sum(map(len, SHAPES.values())) >= 250
