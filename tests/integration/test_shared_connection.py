"""The connection that all callers share: each gets its own reply, or learns that there is none."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from app.domain.errors import StoreUnavailable
from app.store import scripts
from app.store.client import Client
from app.store.replicas import is_confirmed
from tests.integration.sentinel import sentinel
from tests.integration.store_client import connected, connections, echo, take_time, takes_a_write
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import Side, TcpProxy, first_of, pump
from tests.support.tcp_server import CHUNK, Reader, Writer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

CALLERS = 300
LONG = "x" * (8 << 20)


@pytest.fixture
async def client(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of the test's store that has time."""
    take_time(monkeypatch)
    redis_server.flush()
    async with connected(redis_server.url) as client:
        yield client


class BrokenProxy(TcpProxy):
    """Copies the store's replies through `damage`; when it returns None, the connection is closed."""

    damage: Callable[[bytes], bytes | None] = staticmethod(lambda chunk: chunk)

    @property
    def url(self) -> str:
        """Its URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def exchange(self, client: Side, server: Side) -> None:
        """Serve one connection."""
        await first_of(pump(client[0], server[1]), self._down(server[0], client[1]))

    async def _down(self, reader: Reader, writer: Writer) -> None:
        while chunk := await reader.read(CHUNK):
            changed = self.damage(chunk)
            writer.write(changed or chunk[: len(chunk) // 2])
            await writer.drain()
            if changed is None:
                return


class CrumblingProxy(BrokenProxy):
    """The store's replies arrive in pieces of a few bytes."""

    async def _down(self, reader: Reader, writer: Writer) -> None:
        while chunk := await reader.read(random.randint(1, 60)):  # noqa: S311  no secret
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)


async def test_three_hundred_callers_share_one_connection(client: Client) -> None:
    """Each gets its own reply, and the store sees one connection."""
    texts = [f"{n} " * (n % 50) for n in range(CALLERS)]
    assert await asyncio.gather(*(echo(client, text) for text in texts)) == texts
    assert len(await connections(client)) == 1


async def test_nobody_gets_the_reply_of_a_caller_that_left(redis_server: RedisServer) -> None:
    """Two in three callers leave at odd moments, while replies arrive in pieces; the others get their own."""
    async with CrumblingProxy(redis_server.port) as proxy, connected(proxy.url) as client:
        await echo(client, "connected")
        left = 0
        for turn in range(4):
            calls = {f"{turn} {n}": asyncio.create_task(echo(client, f"{turn} {n}")) for n in range(CALLERS)}
            leaving = random.sample(list(calls), CALLERS * 2 // 3)
            while leaving:
                await asyncio.sleep(0)
                calls[leaving.pop()].cancel()
            for text, call in calls.items():
                try:
                    assert await call == text
                except asyncio.CancelledError:
                    left += 1
        assert 0 < left < 4 * CALLERS
        assert len(await connections(client)) == 1


async def test_a_call_whose_caller_left_before_it_was_sent_is_never_sent(client: Client) -> None:
    """A write is known to its caller, or does not happen."""
    call = asyncio.create_task(client.set("film", "1", px=60_000))
    await asyncio.sleep(0)  # it waits for the connection
    call.cancel()
    assert await client.get("film") is None
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_command_may_have_two_words(client: Client) -> None:
    """redis-py gives them as one, whether it parses the reply or not."""
    await client.set("film", "1", px=60_000)
    assert await client.execute_command("MEMORY USAGE", "film") > 0
    assert await client.config_get("appendonly") == {"appendonly": "yes"}


async def test_a_reply_of_eight_megabytes_arrives_whole(client: Client) -> None:
    """And so do those behind it."""
    await client.set("film", LONG, px=60_000)
    long, short = await asyncio.gather(client.get("film"), echo(client, "short"))
    assert long == LONG
    assert short == "short"


async def test_a_lost_connection_ends_every_call(redis_server: RedisServer) -> None:
    """Killed: what was sent fails and what is asked next too; after the restart the same client works."""
    with RedisServer() as server:
        async with connected(server.url) as client:
            await echo(client, "connected")
            server.freeze()
            calls = [asyncio.create_task(echo(client, str(n))) for n in range(CALLERS)]
            await asyncio.sleep(0.05)
            server.kill()
            for call in calls:
                with pytest.raises(StoreUnavailable):
                    await call
            server.start()
            await wait_until(lambda: takes_a_write(client), "it has connected again")


async def test_a_reply_that_is_cut_in_the_middle_is_no_reply(redis_server: RedisServer) -> None:
    """Its caller and those behind it get 503, and nobody half a text; the next call uses a new connection."""
    async with BrokenProxy(redis_server.port) as proxy, connected(proxy.url) as client:
        await echo(client, "connected")
        proxy.damage = lambda _: None
        for call in [asyncio.create_task(echo(client, text)) for text in ("a" * 5000, "b", "c")]:
            with pytest.raises(StoreUnavailable):
                await call
        proxy.damage = lambda chunk: chunk
        assert await echo(client, "whole") == "whole"


@pytest.mark.parametrize("garbage", [b"hello\r\n", b"+more\r\n+than\r\n+asked\r\n+for\r\n", b"*-7\r\n$-9\r\n"])
async def test_garbage_closes_the_connection(redis_server: RedisServer, garbage: bytes) -> None:
    """What is no reply, and replies that nobody asked for: 503, and a new connection."""
    async with BrokenProxy(redis_server.port) as proxy, connected(proxy.url) as client:
        await echo(client, "connected")
        proxy.damage = lambda _: garbage
        calls = [asyncio.create_task(echo(client, "a")) for _ in range(3)]
        await asyncio.wait(calls)
        proxy.damage = lambda chunk: chunk
        assert await echo(client, "whole") == "whole"
        assert proxy.connections == 2
        if not garbage.startswith(b"+"):
            assert all(isinstance(call.exception(), StoreUnavailable) for call in calls)


async def test_a_reply_before_the_first_call_is_nobodys(redis_server: RedisServer) -> None:
    """What arrives behind the greeting closes the connection; it would be the first caller's reply."""
    async with BrokenProxy(redis_server.port) as proxy, connected(proxy.url) as client:
        proxy.damage = lambda chunk: chunk.replace(b"+OK\r\n", b"+OK\r\n+more\r\n")
        with pytest.raises(StoreUnavailable):
            await echo(client, "a")


async def test_garbage_instead_of_a_greeting_is_503(redis_server: RedisServer) -> None:
    """The port of another service does not answer as a store."""
    async with BrokenProxy(redis_server.port) as proxy, connected(proxy.url) as client:
        proxy.damage = lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"
        with pytest.raises(StoreUnavailable):
            await echo(client, "a")


async def test_a_script_that_the_store_does_not_know_is_sent_whole(
    client: Client, redis_server: RedisServer
) -> None:
    """After SCRIPT FLUSH, and for concurrent callers."""
    for _ in range(2):
        states = await asyncio.gather(*(scripts.read_queue_state(client) for _ in range(20)))
        assert len({str(state[1:]) for state in states}) == 1
        redis_server.apply("SCRIPT", "FLUSH")


ERRORS: dict[str, tuple[tuple[str, ...], type[Exception]]] = {
    "a wrong type": (("INCR", "text"), ResponseError),
    "an unknown script": (("EVALSHA", "0" * 40, "0"), NoScriptError),
    "full": (("EVAL", "return redis.error_reply('OOM command not allowed')", "0"), OutOfMemoryError),
    "a replica": (("EVAL", "return redis.error_reply('READONLY a replica')", "0"), ReadOnlyError),
    "no right": (("EVAL", "return redis.error_reply('NOPERM no right')", "0"), NoPermissionError),
}


@pytest.mark.parametrize("case", ERRORS)
async def test_an_error_of_the_store_is_its_callers_alone(client: Client, case: str) -> None:
    """It has redis-py's class, and those before and behind it get their replies."""
    command, kind = ERRORS[case]
    await client.set("text", "a", px=60_000)
    calls = [echo(client, "before"), client.execute_command(*command), echo(client, "behind")]
    before, error, behind = await asyncio.gather(*calls, return_exceptions=True)
    assert (before, type(error), behind) == ("before", kind, "behind")


@pytest.mark.parametrize("fault", ["demoted", "killed", "frozen"])
async def test_a_failover_is_followed(tmp_path: Path, fault: str) -> None:
    """The primary becomes a replica, dies or stands still: the client goes to the one that the sentinels name."""
    with (
        RedisServer() as first,
        RedisServer() as other,
        sentinel(tmp_path, f"sentinel monitor films 127.0.0.1 {first.port} 1") as port,
        Redis(port=port, decode_responses=True) as sentinels,
    ):
        async with connected(f"sentinel://127.0.0.1:{port}/films") as client:
            await wait_until(lambda: takes_a_write(client), "the sentinel names the primary")
            if fault == "demoted":
                first.apply("REPLICAOF", "127.0.0.1", str(other.port))
            elif fault == "killed":
                first.kill()
            else:
                first.freeze()
            sentinels.sentinel_remove("films")
            sentinels.sentinel_monitor("films", "127.0.0.1", other.port, 1)
            await wait_until(lambda: takes_a_write(client), "the new primary takes writes")
            assert other.command("GET", "film") == b"$1\r\n1\r\n"


async def test_a_write_that_waits_for_its_replica_stops_no_other_call(redis_server: RedisServer) -> None:
    """The replica is away, and the confirmation takes its time: meanwhile others are answered."""
    async with connected(redis_server.url, replicas=1) as client:
        confirmation = asyncio.create_task(is_confirmed(client))
        await wait_until(lambda: _waits(client), "the write waits for its replica")
        assert not confirmation.done()
        assert await confirmation is False


async def _waits(client: Client) -> bool:
    listed = await client.execute_command("CLIENT LIST")
    return any(one["name"] == "shared" and one["cmd"].startswith("wait") for one in listed)
