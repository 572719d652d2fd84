"""A store given as one URL, also behind Sentinel; a burst of pipelines waits for free connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.domain.errors import StoreUnavailable
from app.store.client import Client
from app.store.connection import connect, connect_rq, disconnect, store_errors
from tests.integration.sentinel import sentinel
from tests.integration.store_client import takes_a_write
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

CONNECTIONS = 4
BURST = 200


@pytest.fixture
def sentinel_port(redis_server: RedisServer, tmp_path: Path) -> Iterator[int]:
    """The port of a Sentinel that watches the test's store."""
    with sentinel(tmp_path, f"sentinel monitor films 127.0.0.1 {redis_server.port} 1") as port:
        yield port


@asynccontextmanager
async def burst(url: str) -> AsyncIterator[Client]:
    """A client with few connections."""
    client = connect(url, name="burst", connections=CONNECTIONS)
    try:
        yield client
    finally:
        await disconnect(client)


async def assert_takes_turns(client: Client) -> None:
    """A burst of pipelines is answered over few connections, besides the shared one of single commands."""
    pipes = [client.pipeline(transaction=False) for _ in range(BURST)]
    for pipe in pipes:
        pipe.execute_command("PING")
    assert await asyncio.gather(*(pipe.execute() for pipe in pipes)) == [[True]] * BURST
    ours = [one for one in await client.execute_command("CLIENT LIST") if one["name"] == "burst"]
    assert len(ours) == CONNECTIONS + 1


async def test_a_burst_takes_turns_at_few_connections(redis_server: RedisServer) -> None:
    """Four connections answer two hundred concurrent pipelines: no caller gets that the store is unavailable."""
    async with burst(redis_server.url) as client:
        await assert_takes_turns(client)


async def test_a_burst_takes_turns_behind_sentinel(redis_server: RedisServer, sentinel_port: int) -> None:
    """The same where Sentinels name the store."""
    redis_server.flush()
    async with burst(f"sentinel://127.0.0.1:{sentinel_port}/films") as client:
        await wait_until(lambda: takes_a_write(client), "the sentinel names the primary")
        await assert_takes_turns(client)


async def test_sentinels_that_are_down_are_reported_in_time() -> None:
    """None answers: that is reported within two seconds, not after the library's own retries."""
    async with burst(f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/films") as client:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable), store_errors():
            await client.execute_command("PING")
        assert time.monotonic() - began < 2


async def test_both_clients_find_the_primary_through_sentinel(
    redis_server: RedisServer, sentinel_port: int
) -> None:
    """`sentinel://host:port/service` works for our own client and for RQ's."""
    redis_server.flush()
    url = f"sentinel://127.0.0.1:{sentinel_port}/films"
    client = connect(url)
    await wait_until(lambda: takes_a_write(client), "the sentinel names the primary")
    await disconnect(client)
    with connect_rq(url) as rq_client:
        assert rq_client.get("film") == b"1"


async def test_to_rq_a_primary_without_its_replica_is_away(redis_server: RedisServer, sentinel_port: int) -> None:
    """RQ retries while a store is unavailable; at other errors, as after each failover, its worker would exit."""
    redis_server.flush()
    url = f"sentinel://127.0.0.1:{sentinel_port}/films"
    client = connect(url)
    await wait_until(lambda: takes_a_write(client), "the sentinel names the primary")
    with connect_rq(url) as rq_client:
        try:
            await client.config_set("min-replicas-to-write", "1")
            with pytest.raises(RedisConnectionError, match="NOREPLICAS"):
                rq_client.set("film", "2", ex=60)
            with rq_client.pipeline() as together:
                together.set("film", "2", ex=60).get("film")
                with pytest.raises(RedisConnectionError, match="NOREPLICAS"):
                    together.execute()
        finally:
            await client.config_set("min-replicas-to-write", "0")
        assert rq_client.get("film") == b"1"
        assert rq_client.set("film", "3", ex=60)
    await disconnect(client)


def test_a_frozen_primary_costs_rq_one_wait(sentinel_port: int) -> None:
    """In a transaction too, whatever else was open: the next command goes to the primary that Sentinels name."""
    wait_s = 2.0
    with (
        RedisServer() as still,
        RedisServer() as other,
        Redis(port=sentinel_port, decode_responses=True) as sentinels,
        connect_rq(f"sentinel://127.0.0.1:{sentinel_port}/reels", timeout=wait_s) as client,
    ):
        sentinels.sentinel_monitor("reels", "127.0.0.1", still.port, 1)
        with client.pipeline() as one, client.pipeline() as another:
            one.watch("film")
            another.watch("film")
        with client.pipeline() as transaction:
            transaction.watch("film")
            transaction.multi()
            transaction.set("film", "1")
            still.freeze()
            began = time.monotonic()
            with pytest.raises(RedisError):
                transaction.execute()
        assert time.monotonic() - began < 2 * wait_s
        sentinels.sentinel_remove("reels")
        sentinels.sentinel_monitor("reels", "127.0.0.1", other.port, 1)
        assert client.set("film", "2")
        assert other.command("GET", "film") == b"$1\r\n2\r\n"
