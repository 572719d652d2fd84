"""Workers behind Sentinels: they buy again as soon as jobs are accepted again, and stop on request."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sentinel import sentinel
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, bought_after_s, open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

COMES_BACK_S = 3.0  # after the first accepted write
SLOW_S = 3.0  # in addition, on a busy machine
STOPS_S = 5.0


@pytest.fixture
async def pair(emulator: Emulator, tmp_path: Path) -> AsyncIterator[tuple[Stack, RedisServer, RedisServer]]:
    """A gateway on a primary with a replica, which a Sentinel promotes after a second."""
    quick = "sentinel down-after-milliseconds films 1000", "sentinel failover-timeout films 5000"
    alone = {"FILMGATE_STORE_CHECK": "warn", "FILMGATE_STORE_REPLICAS": "0"}  # the new primary has no replica
    with (
        RedisServer(repl_diskless_sync_delay="0") as primary,
        RedisServer(replicaof=f"127.0.0.1 {primary.port}") as replica,
        sentinel(tmp_path, f"sentinel monitor films 127.0.0.1 {primary.port} 1", *quick) as port,
    ):

        async def knows() -> bool:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"SENTINEL REPLICAS films\r\n")
                answer = await reader.read(4000)
                writer.close()
                return b"slave0:" in answer or str(replica.port).encode() in answer
            return False

        await wait_until(knows, "the sentinel knows the replica", timeout=30)
        await wait_until(
            lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "it has all", timeout=30
        )
        url = f"sentinel://127.0.0.1:{port}/films"
        async with open_stack(primary, emulator, FILMGATE_REDIS_URL=url, **alone) as stack:
            yield stack, primary, replica


async def until_bought(stack: Stack) -> tuple[float, float]:
    """Seconds until a job is accepted, and from then until fal has it, by the job's own times."""
    began = time.monotonic()

    async def accepted() -> dict[str, Any] | None:
        with contextlib.suppress(AssertionError):
            return await stack.submit("after the failover")
        return None

    job = await wait_until(accepted, "a job is accepted", timeout=40, interval=0.05)
    assert job is not None
    accepted_at = time.monotonic()
    bought = await stack.until(job["id"], "running", "finalizing", "succeeded", timeout=90)
    return accepted_at - began, bought_after_s(bought)


@pytest.mark.parametrize("how", [RedisServer.kill, RedisServer.freeze], ids=["killed", "frozen"])
async def test_buying_goes_on_as_soon_as_jobs_are_accepted(
    pair: tuple[Stack, RedisServer, RedisServer],
    how: Callable[[RedisServer], None],
    say: Callable[[str], None],
) -> None:
    """The primary dies or freezes: fal has the next accepted job within 3 s; workers stop within 5 s."""
    stack, primary, _ = pair
    async with stack.workers() as workers:
        await stack.until((await stack.submit())["id"], "succeeded", timeout=60)
        how(primary)
        try:
            away, gap = await until_bought(stack)
        finally:
            if primary.running:
                primary.thaw()
        began = time.monotonic()
        await asyncio.to_thread(workers.stop)
        stopped = time.monotonic() - began
    say(
        f"primary {how.__name__}: accepted again after {away:.1f} s, bought {gap:.1f} s later; stop {stopped:.1f} s"
    )
    assert gap < COMES_BACK_S + SLOW_S
    assert stopped < STOPS_S + SLOW_S
