"""A store named by one URL, also behind Sentinel; a burst of callers waits for its turn at it."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.connection import MAX_CONNECTIONS, Client, connect, connect_rq, disconnect
from tests.support.redis_server import RedisServer, engine_under_test, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

BURST = 300


@pytest.fixture
def sentinel(redis_server: RedisServer, tmp_path: Path) -> Iterator[int]:
    """A real sentinel that watches the test's store; its port."""
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor films 127.0.0.1 {redis_server.port} 1\ndir {tmp_path}\n"
    )
    command = [str(engine_under_test().path), str(config), "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  the store's own program
    yield port
    process.terminate()
    process.wait(10)


async def answers(client: Client) -> bool:
    """Whether the store takes a write."""
    try:
        return bool(await client.set("film", "1", ex=60))
    except OSError:
        return False


async def assert_takes_turns(client: Client) -> None:
    """A burst is answered through few connections."""
    assert await asyncio.gather(*(client.ping() for _ in range(BURST))) == [True] * BURST
    ours = [one for one in await client.client_list() if one["name"] == "burst"]
    assert 1 < len(ours) <= MAX_CONNECTIONS


async def test_a_burst_takes_turns_at_few_connections(redis_server: RedisServer) -> None:
    """Three hundred questions at once are all answered: nobody is told that the store is away."""
    client = connect(redis_server.url, name="burst")
    await assert_takes_turns(client)
    await disconnect(client)


async def test_a_burst_takes_turns_behind_sentinel(redis_server: RedisServer, sentinel: int) -> None:
    """The same where sentinels name the store."""
    redis_server.flush()
    client = connect(f"sentinel://127.0.0.1:{sentinel}/films", name="burst")
    await wait_until(lambda: answers(client), "the sentinel names the primary")
    await assert_takes_turns(client)
    await disconnect(client)


async def test_both_clients_find_the_primary_through_sentinel(redis_server: RedisServer, sentinel: int) -> None:
    """`sentinel://host:port/service` works for our own client and for RQ's."""
    redis_server.flush()
    url = f"sentinel://127.0.0.1:{sentinel}/films"
    client = connect(url)
    await wait_until(lambda: answers(client), "the sentinel names the primary")
    await disconnect(client)
    with connect_rq(url) as rq_client:
        assert rq_client.get("film") == b"1"
