"""Live events over real HTTP: the current state first, then every event once and in order, until the end."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.services.live import PING_S
from tests.support.pipeline import Pipeline, job_in
from tests.support.server import EventReader, Server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

LIFE = ["job.queued", "job.submitting", "job.running", "job.finalizing", "job.succeeded"]
EVENT_ID = re.compile(r"[0-9]{13}-[0-9]+")


@asynccontextmanager
async def watching(
    server: Server, stack: Stack, job_id: str, after: str | None = None
) -> AsyncIterator[EventReader]:
    """The job's live events, after `after`."""
    headers = {"Authorization": f"Bearer {stack.account.key}"} | ({"Last-Event-ID": after} if after else {})
    url = f"{server.url}/v1/jobs/{job_id}/events"
    async with (
        httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as web,
        web.stream("GET", url) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        yield EventReader(response)


async def live_through(stack: Stack, job_id: str) -> None:
    """From queued to succeeded."""
    await Pipeline(stack).to(job_id, "succeeded")


def order(event: dict[str, Any]) -> tuple[int, ...]:
    """The event's id as numbers."""
    return tuple(map(int, event["id"].split("-")))


async def test_a_watcher_sees_the_whole_life(server: Server, stack: Stack) -> None:
    """Every state once, in order, with increasing ids; the stream ends with the terminal event."""
    job = await stack.submit("kan4rie")
    async with watching(server, stack, job["id"]) as reader:
        first = await reader.event()
        assert first is not None
        await live_through(stack, job["id"])
        events = [first, *await reader.rest()]
    assert [event["event"] for event in events] == LIFE
    assert [event["data"]["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert all(EVENT_ID.fullmatch(event["id"]) and event["retry"] == "3000" for event in events)
    assert [order(event) for event in events] == sorted({order(event) for event in events})
    for event in events:
        shown = event["data"]
        assert shown.keys() == {"type", "timestamp", "sequence", "data"}
        assert shown["type"] == event["event"] == f"job.{shown['data']['status']}"
        assert "input" not in shown["data"]
        assert "kan4rie" not in str(event)
    assert events[0]["data"]["data"]["queue_position"] == 0
    assert events[-1]["data"]["data"]["output"]["video"]["url"]
    assert events[-1]["data"]["data"]["charged_usd"] == "1.40"


@pytest.mark.parametrize("status", ["queued", "submitting", "held", "running", "finalizing"])
async def test_the_first_frame_is_the_present_state(server: Server, stack: Stack, status: str) -> None:
    """Whatever happened before, a new watcher starts with the current state."""
    job_id = await job_in(stack, status)
    async with watching(server, stack, job_id) as reader:
        first = await reader.event()
    assert first is not None
    assert first["event"] == f"job.{status}"
    assert first["data"]["data"]["id"] == job_id


@pytest.mark.parametrize("status", ["succeeded", "failed", "canceled"])
async def test_an_ended_job_has_one_frame(server: Server, stack: Stack, status: str) -> None:
    """The terminal event, then the stream ends."""
    job_id = await job_in(stack, status)
    async with watching(server, stack, job_id) as reader:
        assert [event["event"] for event in await reader.rest()] == [f"job.{status}"]


@pytest.mark.parametrize("seen", [1, 2, 3, 4])
async def test_a_watcher_that_reconnects_misses_nothing(server: Server, stack: Stack, seen: int) -> None:
    """After a break at any point, while the job ran to its end, the missing events come once and in order."""
    job = await stack.submit()
    async with watching(server, stack, job["id"]) as reader:
        events = [await reader.event()]
        living = asyncio.create_task(live_through(stack, job["id"]))
        events += [await reader.event() for _ in range(seen - 1)]
    await living
    last = events[-1]
    assert last is not None
    async with watching(server, stack, job["id"], after=last["id"]) as reader:
        rest = await reader.rest()
    assert [event["event"] for event in rest] == LIFE[seen:]


async def test_a_watcher_that_reconnects_early_gets_live_events(server: Server, stack: Stack) -> None:
    """Reconnected before any new event: no frame is repeated, and new ones arrive."""
    job = await stack.submit()
    async with watching(server, stack, job["id"]) as reader:
        first = await reader.event()
    assert first is not None
    async with watching(server, stack, job["id"], after=first["id"]) as reader:
        await live_through(stack, job["id"])
        assert [event["event"] for event in await reader.rest()] == LIFE[1:]


async def test_after_the_end_there_is_the_end(server: Server, stack: Stack) -> None:
    """A watcher that has the terminal event and reconnects gets 204 instead of waiting."""
    job_id = await job_in(stack, "canceled")
    async with watching(server, stack, job_id) as reader:
        (last,) = await reader.rest()
    headers = {"Authorization": f"Bearer {stack.account.key}", "Last-Event-ID": last["id"]}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as web:
        assert (await web.get(f"{server.url}/v1/jobs/{job_id}/events")).status_code == 204


@pytest.mark.parametrize("after", ["1-0", "0-0", "999999999999999-0"])
async def test_an_id_out_of_memory_is_a_reset(server: Server, stack: Stack, after: str) -> None:
    """An id older than the kept events, or newer than all: reset, the current state, then new events."""
    job = await stack.submit()
    async with watching(server, stack, job["id"], after=after) as reader:
        frames = [await reader.event(), await reader.event()]
        await live_through(stack, job["id"])
        rest = await reader.rest()
    assert [frame["event"] for frame in frames if frame] == ["reset", "job.queued"]
    assert [event["event"] for event in rest] == LIFE[1:]


async def test_watchers_see_their_own_job_only(server: Server, stack: Stack) -> None:
    """Ten watchers of five concurrent jobs: each sees exactly one job's events."""
    jobs = [await stack.submit() for _ in range(5)]

    async def watch(job_id: str, ready: asyncio.Event) -> list[dict[str, Any]]:
        async with watching(server, stack, job_id) as reader:
            first = await reader.event()
            assert first is not None
            ready.set()
            return [first, *await reader.rest()]

    ready = [asyncio.Event() for _ in range(10)]
    watchers = [asyncio.create_task(watch(jobs[n % 5]["id"], ready[n])) for n in range(10)]
    await asyncio.gather(*(one.wait() for one in ready))
    await asyncio.gather(*(live_through(stack, job["id"]) for job in jobs))
    for number, events in enumerate(await asyncio.gather(*watchers)):
        assert [event["event"] for event in events] == LIFE
        assert {event["data"]["data"]["id"] for event in events} == {jobs[number % 5]["id"]}


async def test_silence_is_filled_with_pings(server: Server, stack: Stack) -> None:
    """While nothing happens, a keep-alive comment every ten seconds."""
    job = await stack.submit()
    began = asyncio.get_running_loop().time()
    async with watching(server, stack, job["id"]) as reader:
        assert await reader.event()
        ping = await reader.frame(timeout=30)
        assert ping == {"comment": "ping"}
        assert PING_S - 0.1 < asyncio.get_running_loop().time() - began < 3 * PING_S
        await stack.api.post(job["urls"]["cancel"])
        assert [event["event"] for event in await reader.rest()] == ["job.canceled"]
