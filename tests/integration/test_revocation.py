"""A revoked key is refused everywhere within a second, and its open streams and calls end within one too."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from app.services.administration import NewAccount
from app.services.tokens import TokenRequest
from app.store import keys
from app.tasks import cancel_and_wait
from tests.integration.fal_queue import MODEL, given
from tests.support.accounts import new_account
from tests.support.callers import another_key, calling, token
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.server import EventReader, Server, running_server
from tests.support.stack import Stack, environment, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

REFUSED_S = 1.0
CLOSED_S = 1.5  # a second, and half of one for a slow machine


@pytest.fixture(scope="module")
async def servers(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[list[Server]]:
    """Two API processes on one store."""
    async with AsyncExitStack() as exits:
        yield [
            await exits.enter_async_context(running_server(environment(redis_server, emulator))) for _ in range(2)
        ]


@asynccontextmanager
async def visiting(server: Server, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one process."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, trust_env=False) as web:
        yield web


@asynccontextmanager
async def watching(web: httpx.AsyncClient, job_id: str) -> AsyncIterator[EventReader]:
    """A stream that has begun."""
    async with web.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        assert response.status_code == 200
        reader = EventReader(response)
        assert await reader.event() is not None
        yield reader


async def a_live_job(stack: Stack, key: str) -> str:
    """The id of a queued job made with this key."""
    async with calling(stack, key) as api:
        reply = await api.post("/v1/jobs", json=stack.body())
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


async def no_more_frames(reader: EventReader) -> float:
    """The time at which the stream ended, after nothing but pings."""
    while (frame := await reader.frame(timeout=15)) is not None:
        assert frame == {"comment": "ping"}
    return time.monotonic()


async def use_until_refused(web: httpx.AsyncClient, taken_away: asyncio.Event) -> float:
    """Send requests in a loop; when the last accepted one was sent. After a refusal none may be accepted."""
    accepted = 0.0
    while True:
        sent = time.monotonic()
        status = (await web.get("/v1/jobs?limit=1")).status_code
        if status == 401:
            assert taken_away.is_set()
            assert (await web.get("/v1/jobs?limit=1")).status_code == 401
            return accepted
        assert status == 200
        accepted = sent


async def _revoke(stack: Stack, account: NewAccount) -> None:
    administration = stack.gateway.administration
    ((record, _),) = await administration.keys(user=account.user.id)
    await administration.revoke_key("test", record.id)


async def _rotate(stack: Stack, account: NewAccount) -> None:
    administration = stack.gateway.administration
    ((record, _),) = await administration.keys(user=account.user.id)
    await administration.rotate_key("test", record.id, overlap_s=0)


async def _remove_user(stack: Stack, account: NewAccount) -> None:
    await stack.gateway.administration.remove_user("test", account.user.id)


async def _remove_team(stack: Stack, account: NewAccount) -> None:
    await stack.gateway.administration.remove_team("test", account.team.id)


ENDS: dict[str, Callable[[Stack, NewAccount], Awaitable[None]]] = {
    "its key is revoked": _revoke,
    "its key is rotated without overlap": _rotate,
    "its user is deleted": _remove_user,
    "its team is deleted": _remove_team,
}


@asynccontextmanager
async def as_if_ended(stack: Stack, account: NewAccount, job_id: str) -> AsyncIterator[None]:
    """An owner of live jobs cannot be deleted: inside, the job is not counted; afterwards it is again."""
    redis = Pipeline(stack).redis
    indexes = [keys.live(account.team.id), keys.live(account.user.id)]
    for index in indexes:
        assert await redis.srem(index, job_id) == 1
    yield
    for index in indexes:
        await redis.sadd(index, job_id)


@pytest.mark.parametrize("how", ENDS)
async def test_a_caller_that_was_shut_out_is_out_everywhere(stack: Stack, servers: list[Server], how: str) -> None:
    """At two processes that cache the key: after a second no request is accepted, and no stream is open."""
    account = await new_account(stack.gateway.administration, team_name="short", user_name="guest")
    job_id = await a_live_job(stack, account.key)
    async with AsyncExitStack() as exits:
        clients = [await exits.enter_async_context(visiting(server, account.key)) for server in servers]
        readers = [await exits.enter_async_context(watching(web, job_id)) for web in clients]
        taken_away = asyncio.Event()
        using = [asyncio.create_task(use_until_refused(web, taken_away)) for web in clients]
        closing = [asyncio.create_task(no_more_frames(reader)) for reader in readers]
        await asyncio.sleep(0.3)  # both processes have cached the key
        began = time.monotonic()
        taken_away.set()
        async with as_if_ended(stack, account, job_id):
            await ENDS[how](stack, account)
        ended = time.monotonic()
        for moment in await asyncio.gather(*using):
            assert moment - ended <= REFUSED_S
        for moment in await asyncio.gather(*closing):
            assert began <= moment
            assert moment - ended <= CLOSED_S


@pytest.mark.parametrize("how", ["its key is revoked", "it expires"])
async def test_the_stream_of_a_token_ends_with_it(stack: Stack, servers: list[Server], how: str) -> None:
    """A token's stream, opened by its URL, ends within a second of the end of the token or of its key."""
    parent = await another_key(stack)
    job_id = await a_live_job(stack, parent.key)
    if how == "it expires":
        caller = await stack.gateway.accounts.authenticate(parent.key)
        secret = (await stack.gateway.tokens.mint(caller, TokenRequest(expires_in_s=2, job=job_id))).token
    else:
        async with calling(stack, parent.key) as api:
            secret = (await token(api, job=job_id))["token"]
    ends = time.monotonic() + 2
    async with httpx.AsyncClient(
        base_url=servers[0].url, params={"token": secret}, timeout=30, trust_env=False
    ) as web:
        async with watching(web, job_id) as reader:
            if how == "its key is revoked":
                await stack.gateway.administration.revoke_key("test", parent.record.id)
                ends = time.monotonic()
            closed = await no_more_frames(reader)
            assert -0.5 <= closed - ends <= CLOSED_S

        async def refused() -> bool:
            return (await web.get(f"/v1/jobs/{job_id}/video")).status_code == 401

        await wait_until(refused, "the token opens nothing", timeout=REFUSED_S + 1)


HOLDING: dict[str, Callable[[Stack, httpx.AsyncClient, str], Coroutine[Any, Any, httpx.Response]]] = {
    "read": lambda _, web, job_id: web.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"}),
    "submit": lambda stack, web, _: web.post("/v1/jobs", json=stack.body("held"), headers={"Prefer": "wait=30"}),
    "run": lambda stack, web, _: web.post(f"/fal/run/{MODEL}", json=given(stack, "run")),
}


@pytest.mark.parametrize("how", HOLDING)
async def test_a_held_call_ends_with_its_key(stack: Stack, servers: list[Server], how: str) -> None:
    """A call that waits for a job's end is 401 within a second of the revocation, without the job."""
    gone = await another_key(stack)
    job_id = await a_live_job(stack, gone.key)
    async with visiting(servers[0], gone.key) as web:
        holding = asyncio.create_task(HOLDING[how](stack, web, job_id))
        jobs = 1 if how == "read" else 2

        async def under_way() -> bool:
            return len((await stack.api.get("/v1/jobs")).json()["data"]) == jobs

        await wait_until(under_way, "the call is held")
        await asyncio.sleep(0.5)
        assert not holding.done()
        await stack.gateway.administration.revoke_key("test", gone.record.id)
        began = time.monotonic()
        reply = await asyncio.wait_for(holding, 15)
    assert reply.status_code == 401, reply.text
    assert time.monotonic() - began <= CLOSED_S
    assert "job_" not in reply.text.replace(f"/v1/jobs/{job_id}", "")


async def test_a_call_whose_job_ends_just_after_its_key_is_401(stack: Stack, servers: list[Server]) -> None:
    """The job ends before the next check of the key: the key is checked again for the answer."""
    gone = await another_key(stack)
    job_id = await a_live_job(stack, gone.key)
    async with visiting(servers[0], gone.key) as web:
        holding = asyncio.create_task(HOLDING["read"](stack, web, job_id))
        await asyncio.sleep(0.7)  # the call is open by now
        await stack.gateway.administration.revoke_key("test", gone.record.id)
        await stack.api.post(f"/v1/jobs/{job_id}/cancel")
        assert (await asyncio.wait_for(holding, 15)).status_code == 401


async def test_other_streams_stay_open(stack: Stack, servers: list[Server]) -> None:
    """When one key of a user is revoked, the streams of the user's other key continue to the job's end."""
    gone = await another_key(stack)
    job_id = (await stack.submit())["id"]
    async with (
        visiting(servers[0], gone.key) as shut_out,
        visiting(servers[0], stack.account.key) as stays,
        watching(shut_out, job_id) as closing,
        watching(stays, job_id) as open_one,
    ):
        await stack.gateway.administration.revoke_key("test", gone.record.id)
        await no_more_frames(closing)
        await stack.api.post(f"/v1/jobs/{job_id}/cancel")
        assert [event["event"] for event in await open_one.rest()] == ["job.canceled"]


async def test_a_stream_that_is_busy_ends_too(stack: Stack, servers: list[Server]) -> None:
    """A steady flow of events does not delay the check of the key."""
    gone = await another_key(stack)
    job_id = (await stack.submit())["id"]
    redis = Pipeline(stack).redis
    newest = (await redis.xrevrange(keys.events(stack.account.team.id), count=1))[0][1]
    revoked: list[float] = []

    async def keep_talking() -> None:
        sequence = int(newest["sequence"])
        while True:
            sequence += 1
            event = {**newest, "sequence": sequence}
            await redis.xadd(keys.events(stack.account.team.id), event)
            await asyncio.sleep(0.05)

    async with visiting(servers[0], gone.key) as web, watching(web, job_id) as reader:
        talking = asyncio.create_task(keep_talking())
        try:
            assert await reader.event() is not None
            await stack.gateway.administration.revoke_key("test", gone.record.id)
            revoked.append(time.monotonic())
            await reader.rest()
        finally:
            await cancel_and_wait(talking)  # without it the writer would go on in the next test's store
    assert time.monotonic() - revoked[0] <= CLOSED_S


async def test_a_store_that_is_away_ends_no_stream(emulator: Emulator) -> None:
    """While the store is frozen for longer than a check of the key takes, the stream waits; then it continues."""
    with RedisServer() as redis:  # a separate store: commands to a frozen one run later
        async with open_stack(redis, emulator) as stack:
            await frozen_for_a_while(redis, stack)


async def frozen_for_a_while(redis: RedisServer, stack: Stack) -> None:
    """Watch a job, freeze the store until a ping has come, unfreeze it, and see the job's end."""
    job_id = (await stack.submit())["id"]
    async with (
        running_server(stack.environment) as server,
        visiting(server, stack.account.key) as web,
        watching(web, job_id) as reader,
    ):
        await asyncio.sleep(1)  # until the stream's first reads are done
        redis.freeze()
        try:
            ping = await reader.frame(timeout=20)
        finally:
            redis.thaw()
        assert ping == {"comment": "ping"}

        async def canceled() -> bool:
            return (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202

        await wait_until(canceled, "the store is back")
        assert [event["event"] for event in await reader.rest()] == ["job.canceled"]
