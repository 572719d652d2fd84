"""The team's events live over real HTTP: everything once and in order, by visibility, until the key ends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.limits import Limit, Unit, Window
from app.services.live import PING_S, Frame
from app.store import keys
from app.store.followers import BACKLOG
from tests.integration.refusals import assert_problem
from tests.support.callers import another_key, calling, colleague, token
from tests.support.pipeline import Pipeline
from tests.support.server import EventReader, Server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

LIVE = {"Accept": "text/event-stream"}
LIFE = ["job.queued", "job.submitting", "job.running", "job.finalizing", "job.succeeded"]


@asynccontextmanager
async def following(
    server: Server, key: str, *, after: str | None = None, cursor: str | None = None, reset: bool = False
) -> AsyncIterator[tuple[EventReader, str]]:
    """The live feed, and the cursor at which it starts."""
    headers = {"Authorization": f"Bearer {key}", **LIVE, **({"Last-Event-ID": after} if after else {})}
    query = {"cursor": cursor} if cursor else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as web,
        web.stream("GET", f"{server.url}/v1/events", params=query) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        reader = EventReader(response)
        first = await reader.frame()
        assert first is not None
        assert first.get("event") == ("reset" if reset else None)
        assert first["retry"] == "3000"
        yield reader, first["id"]


async def read(reader: EventReader, count: int) -> list[dict[str, Any]]:
    """The next `count` events."""
    found = []
    for _ in range(count):
        event = await reader.event()
        assert event is not None
        found.append(event)
    return found


async def page(api: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """The same events from the JSON feed."""
    found: list[dict[str, Any]] = (await api.get("/v1/events", params=query)).json()["data"]
    return found


async def test_a_follower_gets_every_event_of_the_feed(server: Server, pipeline: Pipeline) -> None:
    """From now on, every state of every job once, in order, with the same ids and data as the JSON feed."""
    await pipeline.admit()
    async with following(server, pipeline.stack.account.key) as (reader, start):
        job = await pipeline.ended("kan4rie")
        events = await read(reader, 5)
    assert [event["event"] for event in events] == LIFE
    assert {event["data"]["data"]["id"] for event in events} == {job.id}
    streamed = [{"id": event["id"], **event["data"]} for event in events]
    assert streamed == await page(pipeline.stack.api, cursor=start)
    assert "kan4rie" not in str(events)


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_follower_that_reconnects_misses_nothing(server: Server, pipeline: Pipeline, way: str) -> None:
    """After a break, missed events come once and in order, then new ones."""
    async with following(server, pipeline.stack.account.key) as (reader, _):
        first = await pipeline.admit()
        (seen,) = await read(reader, 1)
    second = await pipeline.admit()
    after, cursor = (seen["id"], None) if way == "header" else (None, seen["id"])
    async with following(server, pipeline.stack.account.key, after=after, cursor=cursor) as (reader, start):
        assert start == seen["id"]
        (missed,) = await read(reader, 1)
        third = await pipeline.admit()
        (live,) = await read(reader, 1)
    assert [one["data"]["data"]["id"] for one in (seen, missed, live)] == [first, second, third]


async def test_a_cursor_outside_the_kept_events_gets_a_reset(server: Server, pipeline: Pipeline) -> None:
    """Too old: `reset`, then the events that are kept; of another store: `reset`, then new events."""
    jobs = [await pipeline.admit() for _ in range(3)]
    old, *_ = await page(pipeline.stack.api)
    await pipeline.redis.xtrim(keys.events(pipeline.team), maxlen=1, approximate=False)
    key, before = pipeline.stack.account.key, f"{int(old['id'].split('-')[0]) - 1}-0"
    async with following(server, key, after=before, reset=True) as (reader, _):
        assert [one["data"]["data"]["id"] for one in await read(reader, 1)] == jobs[2:]
    async with following(server, key, after="999999999999999-0", reset=True) as (reader, start):
        assert start == (await page(pipeline.stack.api))[-1]["id"]
        job = await pipeline.admit()
        assert [one["data"]["data"]["id"] for one in await read(reader, 1)] == [job]
    for given in (start, "0-0"):
        async with following(server, key, after=given) as (reader, cursor):
            assert cursor == given
            assert (await read(reader, 1))[0]["event"] == "job.queued"


async def test_each_key_follows_the_jobs_it_may_see(server: Server, stack: Stack) -> None:
    """A user's key gets its user's, `team:read` the team's, a browser token its own."""
    theirs = await colleague(stack)
    reader = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    page_token = (await token(stack.api))["token"]
    callers = {"mine": stack.account.key, "theirs": theirs.key, "browser": page_token}
    heard: dict[str, list[str]] = {}
    made: dict[str, str] = {}
    async with (
        following(server, stack.account.key) as (mine, _),
        following(server, theirs.key) as (colleagues, _),
        following(server, page_token) as (browser, _),
        following(server, reader.key) as (teams, _),
    ):
        for who, key in callers.items():
            async with calling(stack, key) as api:
                made[who] = (await api.post("/v1/jobs", json=stack.body())).json()["id"]
        counts = {"mine": (mine, 2), "theirs": (colleagues, 1), "browser": (browser, 1), "team": (teams, 3)}
        for who, (stream, count) in counts.items():
            heard[who] = [event["data"]["data"]["id"] for event in await read(stream, count)]
    assert heard == {
        "mine": [made["mine"], made["browser"]],
        "theirs": [made["theirs"]],
        "browser": [made["browser"]],
        "team": list(made.values()),
    }


async def test_alerts_arrive_live(server: Server, stack: Stack) -> None:
    """A notice about the team reaches keys that see the team, in order with the jobs' events."""
    await stack.gateway.limits.replace("test", stack.account.team.id, [Limit(Unit.USD, Window.TOTAL, 2_000_000)])
    made = await another_key(stack, scopes=USER_SCOPES | {Scope.TEAM_READ})
    async with following(server, made.key) as (reader, _):
        await stack.submit()
        queued, alert = await read(reader, 2)
    assert (queued["event"], alert["event"]) == ("job.queued", "budget.threshold")
    assert (alert["data"]["sequence"], alert["data"]["data"]["threshold"]) == (None, 50)


async def test_a_quiet_stream_pings_and_moves_the_cursor(server: Server, stack: Stack) -> None:
    """Every ten seconds, even while only others' events arrive; the ping's id moves past them."""
    theirs = await colleague(stack)
    began = time.monotonic()
    async with following(server, theirs.key) as (reader, start):
        await stack.submit()
        frame = await reader.frame(timeout=3 * PING_S)
        assert frame is not None
        assert PING_S - 0.1 < time.monotonic() - began < 3 * PING_S
    assert (frame["comment"], "event" in frame) == ("ping", False)
    assert frame["id"] == await stack.gateway.stores.events.newest_id(stack.account.team.id) != start


async def test_a_slow_follower_misses_nothing(pipeline: Pipeline) -> None:
    """A follower that falls behind by more than the live queue holds continues from the store."""
    caller = await pipeline.gateway.accounts.authenticate(pipeline.stack.account.key)
    await pipeline.admit()
    name, total = keys.events(pipeline.team), 2 * BACKLOG + 10
    following = pipeline.gateway.feed.follow(caller, cursor=None).frames
    first = await anext(following)
    ((_, row),) = await pipeline.redis.xrevrange(name, count=1)
    pipe = pipeline.redis.pipeline(transaction=False)
    for _ in range(total):
        pipe.xadd(name, row)
    ids = await pipe.execute()
    found: list[Frame] = []
    while len(found) < total:
        found.append(await asyncio.wait_for(anext(following), 10))
        if len(found) == 1:
            await asyncio.sleep(1)  # meanwhile the queue overflows
    await following.aclose()
    assert first.event is None
    assert [one.cursor for one in found] == ids


async def test_the_stream_ends_with_the_key(server: Server, stack: Stack) -> None:
    """Within a second of its revocation; soon after, every request is refused."""
    made = await another_key(stack)
    async with following(server, made.key) as (reader, _):
        await stack.gateway.administration.revoke_key("test", made.record.id)
        revoked = time.monotonic()
        assert await reader.event(timeout=10) is None
        assert time.monotonic() - revoked < 1.5
        await asyncio.sleep(0.6)  # the time that this process caches the key
    async with httpx.AsyncClient(headers={**LIVE, "Authorization": f"Bearer {made.key}"}, trust_env=False) as web:
        assert_problem(await web.get(f"{server.url}/v1/events"), 401, "unauthenticated")


async def test_one_reader_serves_all_followers(server: Server, stack: Stack) -> None:
    """Twenty streams of one process use one blocking connection to the store, and each gets everything."""
    async with asyncio.timeout(60):
        opened = [following(server, stack.account.key) for _ in range(20)]
        readers = [(await one.__aenter__())[0] for one in opened]
        job = await stack.submit()
        for reader in readers:
            (event,) = await read(reader, 1)
            assert event["data"]["data"]["id"] == job["id"]
        clients = await Pipeline(stack).redis.client_list()
        for one in opened:
            await one.__aexit__(None, None, None)
    names = [client["name"] for client in clients if client["cmd"] == "xread"]
    assert names.count("filmgate-api-patient") == 1


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"Last-Event-ID": "x"}, {}, "invalid_header"),
        ({}, {"cursor": "x"}, "invalid_cursor"),
        ({}, {"cursor": "1-"}, "invalid_cursor"),
    ],
)
async def test_a_wrong_cursor_is_refused_before_the_stream_begins(
    stack: Stack, headers: dict[str, str], query: dict[str, str], code: str
) -> None:
    """As a problem document."""
    assert_problem(await stack.api.get("/v1/events", params=query, headers={**LIVE, **headers}), 400, code)


async def test_a_key_without_the_scope_follows_nothing(stack: Stack) -> None:
    """403, as for the JSON feed; without `Accept` it is the JSON feed."""
    mute = await another_key(stack, scopes=frozenset({Scope.JOBS_WRITE}))
    async with calling(stack, mute.key) as api:
        assert_problem(await api.get("/v1/events", headers=LIVE), 403, "forbidden")
    assert (await stack.api.get("/v1/events")).headers["content-type"] == "application/json"


ODD_ENTRIES: list[dict[str, str]] = [
    {"x": "1"},
    {"type": "succeeded", "job": "1", "sequence": "x"},
    {"type": "no-such-state", "job": "1", "sequence": "1", "charged": "", "held": ""},
    {"type": "budget.threshold", "at": "1", "notice": "{"},
    {"type": "job.queued", "at": "soon", "job": "job_1", "record": "[]"},
]


async def test_an_unreadable_entry_is_left_out(server: Server, pipeline: Pipeline) -> None:
    """The team's feed, live and by pages, continues after it; so does the shared reader."""
    async with following(server, pipeline.stack.account.key) as (reader, start):
        for entry in ODD_ENTRIES:
            await pipeline.redis.xadd(keys.events(pipeline.team), entry)
        job_id = await pipeline.admit()
        event = await reader.event()
        assert event is not None
        assert event["data"]["data"]["id"] == job_id
        assert await page(pipeline.stack.api, cursor=start) == [{"id": event["id"], **event["data"]}]
