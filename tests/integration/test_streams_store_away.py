"""Event streams and open calls while the store is down: refused before they begin, ended cleanly later."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.ids import join_ref
from app.store import keys
from tests.integration.fal_queue import path_of
from tests.integration.refusals import assert_problem
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.server import EventReader, Server, running_server
from tests.support.stack import Stack, environment, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

LIVE = {"Accept": "text/event-stream"}
SMALL_BUFFER = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)]
BULKY = {f"name-{number}": "x" * 200 for number in range(8)}
MANY = 3000  # large events: 9 MB, more than all buffers on the way


@dataclass
class Served:
    """An API process, its store, and its log."""

    redis: RedisServer
    server: Server
    log: Path


@dataclass
class Outage:
    """What a test uses; `web` calls the process."""

    stack: Stack
    web: httpx.AsyncClient
    log: Path

    def streams(self, job_id: str) -> dict[str, dict[str, str]]:
        """The path of each kind of stream, and the headers it needs."""
        return {f"/v1/jobs/{job_id}/events": {}, "/v1/events": LIVE, path_of(job_id, "/status/stream"): {}}

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines about this event."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def tracebacks(self) -> list[str]:
        """The log's first lines with a traceback."""
        return [line for line in self.log.read_text().splitlines() if "Traceback" in line][:3]


@pytest.fixture(scope="module")
async def served(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """An API process with a store of its own."""
    log = tmp_path_factory.mktemp("api") / "log"
    with RedisServer() as redis:
        async with running_server(environment(redis, emulator), log=log) as server:
            yield Served(redis, server, log)


@pytest.fixture
async def outage(served: Served, emulator: Emulator) -> AsyncIterator[Outage]:
    """The same with an empty store, which may be killed, and an empty log."""
    if not served.redis.running:  # an earlier test failed in the middle
        served.redis.start()
    served.redis.flush()
    served.log.write_text("")
    async with open_stack(served.redis, emulator) as stack:
        headers = {"Authorization": f"Bearer {stack.account.key}"}
        transport = httpx.AsyncHTTPTransport(socket_options=SMALL_BUFFER)
        async with httpx.AsyncClient(
            base_url=served.server.url, headers=headers, timeout=30, trust_env=False, transport=transport
        ) as web:
            yield Outage(stack, web, served.log)


@asynccontextmanager
async def opened(outage: Outage, path: str, headers: dict[str, str]) -> AsyncIterator[EventReader]:
    """A stream that has begun."""
    async with outage.web.stream("GET", path, headers=headers) as reply:
        assert reply.status_code == 200, await reply.aread()
        yield EventReader(reply)


async def warmed_up(outage: Outage) -> None:
    """Give the process many open connections to its store."""
    await asyncio.gather(*(outage.web.get("/v1/me") for _ in range(30)))


async def test_streams_begin_at_once_after_a_restart_of_the_store(outage: Outage) -> None:
    """A stale connection is no reason to refuse: none of many streams fails."""
    job_id = (await outage.stack.submit())["id"]
    for _ in range(3):
        await warmed_up(outage)
        outage.stack.redis.kill()
        outage.stack.redis.start()

        async def first(path: str, headers: dict[str, str]) -> dict[str, Any] | None:
            async with opened(outage, path, headers) as reader:
                return await reader.frame()

        wanted = [one for one in outage.streams(job_id).items() for _ in range(4)]
        assert all(await asyncio.gather(*(first(path, headers) for path, headers in wanted)))
    assert not outage.tracebacks()


async def test_no_stream_begins_without_the_store(outage: Outage) -> None:
    """Whenever the store goes down: 503 with Retry-After, or a stream that begins; none breaks, no traceback."""
    job_id = (await outage.stack.submit())["id"]
    found: list[int] = []
    over = asyncio.Event()

    async def open_again_and_again(path: str, headers: dict[str, str]) -> None:
        while not over.is_set():
            async with outage.web.stream("GET", path, headers=headers) as reply:
                found.append(reply.status_code)
                if reply.status_code == 200:
                    assert await EventReader(reply).frame() is not None, path
                elif path.startswith("/v1/"):
                    await reply.aread()
                    assert_problem(reply, 503, "store_unavailable")
                assert reply.status_code == 200 or int(reply.headers["retry-after"]) > 0

    tasks = [asyncio.create_task(open_again_and_again(*one)) for one in outage.streams(job_id).items()]

    async def heard(status: int, times: int) -> None:
        before = found.count(status)

        async def enough() -> bool:
            if broken := [task for task in tasks if task.done()]:
                broken[0].result()
            return found.count(status) >= before + times

        await wait_until(enough, f"{times} times {status}")

    try:
        for _ in range(4):
            await heard(200, 10)
            outage.stack.redis.kill()
            await asyncio.sleep(0.3)
            outage.stack.redis.start()
        await heard(200, 10)
        over.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    assert set(found) > {200}
    assert not outage.tracebacks()


async def test_a_quiet_stream_outlives_a_restart_of_the_store(outage: Outage) -> None:
    """Open streams of every kind deliver the events after it."""
    job = await outage.stack.submit()
    streams = outage.streams(job["id"])
    ends: dict[str, str] = {}

    async def follow(path: str, headers: dict[str, str], begun: asyncio.Event) -> None:
        async with opened(outage, path, headers) as reader:
            while (frame := await reader.frame(timeout=30)) is not None:
                begun.set()
                if frame.get("event") == "job.canceled" or frame.get("data", {}).get("status") == "COMPLETED":
                    ends[path] = frame.get("event", "COMPLETED")
                    return

    begun = {path: asyncio.Event() for path in streams}
    following = [asyncio.create_task(follow(path, headers, begun[path])) for path, headers in streams.items()]
    await asyncio.gather(*(one.wait() for one in begun.values()))
    outage.stack.redis.kill()
    await asyncio.sleep(1.5)  # meanwhile streams on fal's API read the store in vain
    outage.stack.redis.start()

    async def canceled() -> bool:
        return (await outage.web.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202

    await wait_until(canceled, "the job is canceled")
    await asyncio.wait_for(asyncio.gather(*following), 30)
    assert ends == dict(zip(streams, ["job.canceled", "job.canceled", "COMPLETED"], strict=True))
    assert not outage.tracebacks()


async def test_a_stream_outlives_an_outage_that_begins_right_after_its_first_frame(outage: Outage) -> None:
    """Before it has read an event: the present state was sent, so its caller can get no 503 any more."""
    gateway, redis = outage.stack.gateway, outage.stack.redis
    caller = await gateway.accounts.authenticate(outage.stack.account.key)
    job = await gateway.jobs.get(caller, (await outage.stack.submit())["id"])
    for following in (gateway.watch.follow(job, after=None), gateway.feed.follow(caller, cursor=None)):
        async with aclosing(following.frames) as frames:
            await anext(frames)
            redis.kill()
            reading = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0.7)  # it reads the store in vain
            redis.start()

            async def something_happens() -> bool:
                await outage.stack.api.post("/v1/jobs", json=outage.stack.body())
                return (await outage.stack.api.post(f"/v1/jobs/{job.id}/cancel")).status_code in {202, 409}

            await wait_until(something_happens, "there is an event of the job, or of another one")
            assert (await asyncio.wait_for(reading, 10)).event is not None


async def test_a_stream_that_loses_the_store_ends_in_order(outage: Outage) -> None:
    """With unread events left: whole frames, one line in the log with the reason; a reconnect misses nothing."""
    job = await outage.stack.submit(metadata=BULKY)
    redis, name = Pipeline(outage.stack).redis, keys.events(outage.stack.account.team.id)
    ((first, row),) = await redis.xrange(name)
    pipe = redis.pipeline(transaction=False)
    for _ in range(MANY):
        pipe.xadd(name, row)
    ids = await pipe.execute()
    for path, headers in list(outage.streams(job["id"]).items())[:2]:
        outage.log.write_text("")
        async with opened(outage, path, {**headers, "Last-Event-ID": first}) as reader:
            seen = [await reader.event()]
            outage.stack.redis.kill()
            seen += await reader.rest()
        outage.stack.redis.start()
        assert 0 < len(seen) < MANY, path
        (line,) = outage.logged("stream.ended")
        assert (line["path"], line["level"]) == (path, "warning")
        assert [closed["path"] for closed in outage.logged("stream.closed")].count(path) == 1
        assert not outage.tracebacks()
        received = [event["id"] for event in seen if event is not None]
        async with opened(outage, path, {**headers, "Last-Event-ID": received[-1]}) as reader:
            while len(received) < MANY:
                event = await reader.event()
                assert event is not None
                received.append(event["id"])
        assert received == ids


async def test_the_stream_of_a_forgotten_job_ends_in_order(outage: Outage) -> None:
    """On fal's API: the job's record disappears in the middle; the stream ends, with one line in the log."""
    job_id = (await outage.stack.submit())["id"]
    ref = join_ref(outage.stack.account.team.id, job_id)
    async with opened(outage, path_of(job_id, "/status/stream"), {}) as reader:
        assert await reader.frame()
        assert outage.stack.redis.command("DEL", keys.job(ref)) == b":1\r\n"
        while await reader.frame():
            pass
    assert len(outage.logged("stream.ended")) == 1
    assert not outage.tracebacks()


async def test_a_held_submission_is_acknowledged_although_the_store_went(outage: Outage) -> None:
    """Admitted, then waiting with `Prefer: wait`: 202 with the job, because a refusal would cause a second one."""
    headers = {"Prefer": "wait=2"}
    waiting = asyncio.create_task(outage.web.post("/v1/jobs", json=outage.stack.body(), headers=headers))

    async def admitted() -> bool:
        return bool((await outage.stack.api.get("/v1/jobs")).json()["data"])

    await wait_until(admitted, "the job is admitted")
    outage.stack.redis.kill()
    reply = await waiting
    outage.stack.redis.start()
    assert (reply.status_code, reply.json()["status"]) == (202, "queued")
    assert [job["id"] for job in (await outage.stack.api.get("/v1/jobs")).json()["data"]] == [reply.json()["id"]]
    assert not outage.tracebacks()
