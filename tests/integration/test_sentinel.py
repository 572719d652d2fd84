"""A store behind Sentinel, named by one URL."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.connection import connect, connect_rq, disconnect
from tests.support.redis_server import RedisServer, engine_under_test, free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


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


async def test_both_clients_find_the_primary_through_sentinel(redis_server: RedisServer, sentinel: int) -> None:
    """`sentinel://host:port/service` works for our own client and for RQ's."""
    redis_server.flush()
    url = f"sentinel://127.0.0.1:{sentinel}/films"
    client = connect(url)

    async def answers() -> bool:
        try:
            return bool(await client.set("film", "1", ex=60))
        except OSError:
            return False

    await wait_until(answers, "the sentinel names the primary")
    await disconnect(client)
    with connect_rq(url) as rq_client:
        assert rq_client.get("film") == b"1"
