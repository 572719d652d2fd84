"""How long calls over the shared connection wait, and how many may: what was not sent has changed nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.domain.errors import StoreUnavailable
from app.store import shared_connection
from app.store.client import Client
from app.store.shared_connection import MAX_SENT, MAX_WAITING, SharedConnection
from tests.integration.store_client import PLENTY_S, connected, connections, echo, take_time, takes_a_write
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

CALLERS = 300
LONG = "x" * (8 << 20)
NEVER_S = 10.0  # far beyond the product's deadlines: a call that still waits then would wait for ever


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    """A client of the test's store, with the product's deadlines."""
    redis_server.flush()
    async with connected(redis_server.url) as client:
        yield client


@pytest.fixture
async def patient(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client that has time."""
    take_time(monkeypatch)
    redis_server.flush()
    async with connected(redis_server.url) as client:
        yield client


async def test_a_store_that_stands_still_is_503_in_time(client: Client, redis_server: RedisServer) -> None:
    """For calls that were sent and for calls that wait; when it goes on, so does the client, without a restart."""
    await echo(client, "connected")
    redis_server.freeze()
    try:
        for _ in range(2):  # the second time there is no connection, and the store accepts none
            began = time.monotonic()
            calls = [asyncio.create_task(echo(client, str(n))) for n in range(2 * MAX_SENT)]
            await asyncio.wait(calls, timeout=NEVER_S)
            assert all(isinstance(call.exception(), StoreUnavailable) for call in calls)
            assert time.monotonic() - began < 2
    finally:
        redis_server.thaw()
    await wait_until(lambda: takes_a_write(client), "it has connected again")
    assert len(await connections(client)) == 1


async def test_a_call_whose_turn_does_not_come_is_not_sent(client: Client, redis_server: RedisServer) -> None:
    """It ends after 0.9 s behind calls without a reply; those have the time of a reply from when they were sent."""
    pool: Any = client.connection_pool
    shared = SharedConnection(pool.make_connection, timeout=PLENTY_S)
    await shared.call("ECHO", "connected")
    redis_server.freeze()
    try:
        sent = [asyncio.create_task(shared.call("ECHO", "sent")) for _ in range(MAX_SENT)]
        await asyncio.sleep(0)
        with pytest.raises(RedisTimeoutError, match="took no more calls"):
            async with asyncio.timeout(NEVER_S):
                await shared.call("SET", "film", "1")
    finally:
        redis_server.thaw()
    assert await asyncio.gather(*sent) == ["sent"] * MAX_SENT
    assert await shared.call("GET", "film") is None
    await shared.aclose()


async def test_more_calls_than_may_wait_are_refused_and_not_sent(
    patient: Client, redis_server: RedisServer
) -> None:
    """503 at once; those within the bound are answered when the store goes on."""
    await echo(patient, "connected")
    redis_server.freeze()
    try:
        calls = []
        for count in (MAX_SENT, MAX_WAITING):
            calls += [asyncio.create_task(echo(patient, "within")) for _ in range(count)]
            for _ in range(2):  # they are called, and then sent
                await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="Too many calls wait"):
            await echo(patient, "one more")
    finally:
        redis_server.thaw()
    assert await asyncio.gather(*calls) == ["within"] * (MAX_SENT + MAX_WAITING)


async def test_more_bytes_than_may_wait_are_refused(
    patient: Client, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few the calls are; one call may be of any size."""
    monkeypatch.setattr(shared_connection, "MAX_WAITING_BYTES", len(LONG))
    await echo(patient, "connected")
    redis_server.freeze()
    try:
        calls = [asyncio.create_task(echo(patient, "sent")) for _ in range(MAX_SENT)]
        await asyncio.sleep(0)
        calls.append(asyncio.create_task(echo(patient, LONG)))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="Too many calls wait"):
            await echo(patient, "one more")
    finally:
        redis_server.thaw()
    assert await asyncio.gather(*calls) == ["sent"] * MAX_SENT + [LONG]


async def test_a_store_that_reads_slowly_is_sent_no_more(patient: Client, redis_server: RedisServer) -> None:
    """What follows a long call waits here, so that a caller who leaves meanwhile has changed nothing."""
    await echo(patient, "connected")
    redis_server.freeze()
    try:
        long = asyncio.create_task(echo(patient, LONG))
        for _ in range(2):  # it is called, and sent
            await asyncio.sleep(0)
        write = asyncio.create_task(patient.set("film", "1", px=60_000))
        for _ in range(2):
            await asyncio.sleep(0)
        write.cancel()
    finally:
        redis_server.thaw()
    assert await long == LONG
    assert await patient.get("film") is None


async def test_calls_of_a_connection_that_was_renewed_have_a_deadline(
    client: Client, redis_server: RedisServer
) -> None:
    """The store stands still: they end as unknown, as on a connection that is in use."""
    await echo(client, "connected")
    redis_server.freeze()
    try:
        calls = [asyncio.create_task(echo(client, str(n))) for n in range(MAX_SENT)]
        for _ in range(2):  # they are called, and sent
            await asyncio.sleep(0)
        await client.renew()
        await asyncio.wait(calls, timeout=NEVER_S)
        assert all(isinstance(call.exception(), StoreUnavailable) for call in calls)
    finally:
        redis_server.thaw()


async def test_renewed_while_calls_are_pending_all_are_answered(patient: Client, redis_server: RedisServer) -> None:
    """They keep their connection until the last reply; the next call has a new one."""
    (before,) = await connections(patient)
    redis_server.freeze()
    try:
        calls = [asyncio.create_task(echo(patient, str(n))) for n in range(CALLERS)]
        for _ in range(2):  # they are called, and as many as may be are sent
            await asyncio.sleep(0)
        await patient.renew()
    finally:
        redis_server.thaw()
    assert await asyncio.gather(*calls) == [str(n) for n in range(CALLERS)]
    await wait_until(lambda: _only_another(patient, before), "the first connection is closed")


async def _only_another(patient: Client, before: str) -> bool:
    now = await connections(patient)
    return len(now) == 1 and now != [before]
