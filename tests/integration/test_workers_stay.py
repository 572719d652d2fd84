"""Workers on a store that takes no writes for a while: none exits, no job is lost, buying continues."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from app.domain.errors import StoreUnavailable
from app.settings import load_settings
from app.store import keys
from tests.support.emulator import Emulator
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack, bought_after_s, open_stack
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from workers.keeper import Keeper
from workers.supervisor import WorkerPids

pytestmark = pytest.mark.anyio

AWAY_S = 4.0  # longer than a lane's slice continues without its lease, and than a blocking read
COMES_BACK_S = 3.0
SLOW_S = 3.0  # in addition, on a busy machine
QUEUES = ("lanes", "work", "deliveries")


@pytest.fixture
async def fragile(emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway with its own store, which is not fully durable."""
    with RedisServer(appendfsync="everysec") as redis:
        async with open_stack(redis, emulator) as stack:
            yield stack


def set_to(redis: RedisServer, name: str, value: str) -> None:
    """One setting of the store."""
    assert redis.command("CONFIG", "SET", name, value) == b"+OK\r\n"


async def saved(redis: RedisServer, word: bytes) -> None:
    """Let the store try to save, and wait for the result."""
    assert redis.command("BGSAVE").startswith(b"+")

    async def told() -> bool:
        info = redis.command("INFO", "persistence")
        return b"rdb_bgsave_in_progress:0" in info and b"rdb_last_bgsave_status:" + word in info

    await wait_until(told, "the store has tried to save")


async def fill(redis: RedisServer, *, full: bool) -> None:
    """OOM."""
    set_to(redis, "maxmemory", "1" if full else "0")


async def leave_alone(redis: RedisServer, *, full: bool) -> None:
    """NOREPLICAS."""
    set_to(redis, "min-replicas-to-write", "1" if full else "0")


async def stand_in_the_way(redis: RedisServer, *, full: bool) -> None:
    """MISCONF: a folder is in the snapshot's place."""
    folder = redis.dir / "dump.rdb"
    if full:
        set_to(redis, "save", "3600 1")
        folder.mkdir()
    else:
        folder.rmdir()
    await saved(redis, b"err" if full else b"ok")


def processes(workers: Workers) -> list[int]:
    """Ids of all worker processes."""
    return sorted(pid for queue in QUEUES for pid in workers.pids(queue))


@pytest.mark.parametrize("refuse", [fill, leave_alone, stand_in_the_way], ids=["full", "alone", "cannot save"])
async def test_workers_outlive_a_store_that_takes_no_writes(
    fragile: Stack, refuse: Callable[..., Awaitable[None]], say: Callable[[str], None]
) -> None:
    """The same processes continue, the job that was at fal ends, and the next one is bought within 3 s."""
    async with fragile.workers() as workers:
        before = processes(workers)

        async def all_ready() -> bool:
            return len(await fragile.gateway.stores.heartbeats.workers()) > len(before)  # with the supervisor

        await wait_until(all_ready, "each of them works", timeout=60)
        running = await fragile.submit("[emu:run:2]")
        await fragile.until(running["id"], "running")
        await refuse(fragile.redis, full=True)
        try:
            await asyncio.sleep(AWAY_S)
            assert processes(workers) == before
        finally:
            await refuse(fragile.redis, full=False)
        job = await fragile.submit("after it")
        bought = await fragile.until(job["id"], "running", "finalizing", "succeeded", timeout=60)
        assert processes(workers) == before
        await fragile.until(running["id"], "succeeded", timeout=60)
    gap = bought_after_s(bought)
    say(f"{refuse.__name__}: bought {gap:.1f} s after the first accepted job")
    assert gap < COMES_BACK_S + SLOW_S


async def test_a_host_says_once_what_its_store_cannot_promise(fragile: Stack, tmp_path: Path) -> None:
    """The supervisor warns; its workers, which it restarts, do not repeat it."""
    log = tmp_path / "workers.log"
    async with fragile.workers(log):
        pass
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
    warned = [line["process"] for line in lines if line["event"] == "store.not_durable"]
    assert warned == ["supervisor"]


async def test_a_lane_whose_task_was_not_enqueued_does_not_stay_dark(stack: Stack) -> None:
    """RQ's own connection failed: the next try does not wait for the two seconds of a lost task."""
    elsewhere = load_settings({**stack.environment, "FILMGATE_REDIS_URL": f"redis://127.0.0.1:{free_port()}"})
    stores = stack.gateway.stores
    keeper = Keeper(elsewhere, stores, WorkerPids(()))  # whose task queue has no server
    assert await stores.lanes.mark_enqueued(0)
    with pytest.raises(StoreUnavailable):
        await keeper.enqueue(0)
    assert await stores.redis.execute_command("PTTL", keys.lane(0)) <= 1
