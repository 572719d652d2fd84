"""Silent workers: an alarm after a minute without heartbeats, which is over when they are back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.domain.heartbeats import ROLES, STORAGE_ROLES
from app.store import keys
from app.store.alarms import FORGET_MS, SILENT_MS
from app.store.connection import connect, disconnect
from tests.support.server import running_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

RAISED, RESOLVED = ("workers_silent", "raised"), ("workers_silent", "resolved")


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Any]:
    """The store itself."""
    client = connect(stack.redis.url)
    yield client
    await disconnect(client)


async def alarms(stack: Stack) -> list[tuple[str, str]]:
    """The alarms as they were raised and resolved, oldest first; those that are not over are active."""
    found: list[tuple[str, str]] = [
        (alarm.kind, alarm.state) for alarm in reversed(await stack.gateway.stores.alarms.newest(9))
    ]
    active = [(alarm.kind, alarm.state) for alarm in await stack.gateway.stores.alarms.active()]
    assert active == found[-1:] * (found[-1:] == [RAISED])
    return found


async def silent_for(stack: Stack, redis: Any, ms: int) -> None:
    """As if an API had checked for this long, without a worker's heartbeat."""
    since = await stack.gateway.stores.clock.now_ms() - ms
    await redis.set(keys.WORKERS_SILENT, since, px=FORGET_MS)


async def come(stack: Stack, *roles: str) -> None:
    """A worker of each of these roles sends a heartbeat."""
    for number, role in enumerate(roles):
        await stack.gateway.stores.heartbeats.beat(f"host:{number}", role=role)


async def test_workers_that_are_missed_are_an_alarm_until_all_are_back(stack: Stack, redis: Any) -> None:
    """A job waits and there was no heartbeat for a minute; it is over with the last kind of worker."""
    await stack.submit()
    await stack.gateway.worker_watch.check()
    assert await alarms(stack) == []
    await silent_for(stack, redis, SILENT_MS)
    for _ in range(3):
        await stack.gateway.worker_watch.check()
    assert await alarms(stack) == [RAISED]
    assert "deliveries, lanes, work" in (await stack.gateway.stores.alarms.newest(1))[0].message
    await come(stack, *ROLES[:2])
    await stack.gateway.worker_watch.check()
    assert await alarms(stack) == [RAISED]
    await come(stack, *ROLES)
    for _ in range(3):
        await stack.gateway.worker_watch.check()
    assert await alarms(stack) == [RAISED, RESOLVED]


async def test_the_storage_worker_is_missed_where_clips_are_kept(stack: Stack, redis: Any) -> None:
    """Only there: its copies are no less work than the others'."""
    watch = replace(stack.gateway.worker_watch, roles=STORAGE_ROLES)
    await stack.submit()
    await come(stack, *ROLES)
    await silent_for(stack, redis, SILENT_MS)
    await watch.check()
    assert await alarms(stack) == [RAISED]
    assert "storage" in (await stack.gateway.stores.alarms.newest(1))[0].message
    await come(stack, *STORAGE_ROLES)
    await watch.check()
    assert await alarms(stack) == [RAISED, RESOLVED]


async def test_the_next_silence_raises_another_alarm(stack: Stack, redis: Any) -> None:
    """And each has its end."""
    await stack.submit()
    for _ in range(2):
        await silent_for(stack, redis, SILENT_MS)
        await stack.gateway.worker_watch.check()
        await come(stack, *ROLES)
        await stack.gateway.worker_watch.check()
        await redis.delete(keys.WORKERS)
    assert await alarms(stack) == [RAISED, RESOLVED] * 2


async def test_no_workers_are_missed_without_work(stack: Stack, redis: Any) -> None:
    """With an emulator and an empty line; with a key that costs money missing workers are an alarm in any case."""
    await silent_for(stack, redis, SILENT_MS)
    assert await stack.gateway.stores.alarms.check_workers(expected=False) == ("", "deliveries, lanes, work")
    assert await stack.gateway.stores.alarms.check_workers(expected=True) == ("silent", "deliveries, lanes, work")


async def test_a_silence_during_an_outage_does_not_count(stack: Stack, redis: Any) -> None:
    """Heartbeats could not be written while the store was down: afterwards workers have a full minute."""
    await stack.submit()
    await silent_for(stack, redis, 10 * SILENT_MS)
    left_ms = await redis.pttl(keys.WORKERS_SILENT)
    assert 0 < left_ms <= FORGET_MS
    await redis.delete(keys.WORKERS_SILENT)  # what the store does by itself then
    await stack.gateway.worker_watch.check()
    assert await alarms(stack) == []


async def test_an_api_listens(stack: Stack, redis: Any) -> None:
    """`filmgate serve` raises it by itself; two of them raise it once."""
    await stack.submit()
    async with running_server(stack.environment), running_server(stack.environment):
        await silent_for(stack, redis, SILENT_MS)

        async def rung() -> bool:
            # One read: between the two of alarms() it may be raised.
            return bool(await stack.gateway.stores.alarms.newest(1))

        await wait_until(rung, "an alarm says that no worker is seen", timeout=20)
        await asyncio.sleep(1.5)  # the other one has checked too
        assert await alarms(stack) == [RAISED]
