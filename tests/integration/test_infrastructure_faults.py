"""Faults around Filmgate (docs/reliability.md, I1 to I26), where no other file tests them."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.domain.jobs import Money, Status
from tests.integration.refusals import assert_problem
from tests.support.checks import ledger_faults, store_faults
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import children, clean_environment, free_port, run_command
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import Stack, environment, open_stack
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from workers.finalize import finalize

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
CUTS = 5
CUTS_IN_FULL = 200
IN_FLIGHT = 40
AT_FAL = 4
EXIT_SECONDS = 30
FILES = 80


async def assert_reads_only(stack: Stack, job_id: str) -> None:
    """A submission is 503 and leaves nothing; reads work."""
    body = stack.body("not taken")
    assert_problem(await stack.api.post("/v1/jobs", json=body), 503, "store_unavailable")
    assert (await stack.api.get(f"/v1/jobs/{job_id}")).status_code == 200
    assert len((await stack.api.get("/v1/jobs")).json()["data"]) == 1


async def assert_takes_jobs(stack: Stack) -> None:
    """A submission is accepted within its time."""

    async def taken() -> bool:
        return (await stack.api.post("/v1/jobs", json=stack.body())).status_code == 202

    await wait_until(taken, "jobs are taken again", timeout=5)


async def accepted_once(emulator: Emulator, prompts: set[str]) -> None:
    """Fal has each of these prompts exactly once."""
    counts = Counter(one["prompt"] for one in await emulator.requests() if one["prompt"] in prompts)
    assert counts == dict.fromkeys(prompts, 1)


# --- the store ---------------------------------------------------------------------------------------------------


async def test_a_store_that_reads_its_data_is_503_until_it_has(emulator: Emulator) -> None:
    """I3: LOADING is a 503 with Retry-After, and everything is there afterwards."""
    with RedisServer(key_load_delay="150") as redis:  # microseconds for each loaded key
        async with open_stack(redis, emulator) as stack:
            job_id = (await stack.submit())["id"]
            async with Redis.from_url(redis.url) as client:
                pipe = client.pipeline(transaction=False)
                for number in range(20_000):
                    pipe.set(f"rq:filler:{number}", 1)
                await pipe.execute()
            redis.kill()
            starting = asyncio.create_task(asyncio.to_thread(redis.start))
            await wait_until(
                lambda: redis.command("PING").startswith(b"-LOADING"),
                "the store reads its data",
                timeout=10,
                interval=0.01,
            )
            reply = await stack.api.get(f"/v1/jobs/{job_id}")
            assert_problem(reply, 503, "store_unavailable")
            assert 1 <= int(reply.headers["retry-after"]) <= 5
            assert (await stack.api.get("/livez")).status_code == 200
            assert (await stack.api.get("/readyz")).status_code == 503
            await starting
            assert (await stack.api.get(f"/v1/jobs/{job_id}")).json()["status"] == "queued"


async def append_only_file(stack: Stack) -> Path:
    """What the store has written after a few jobs in several states."""
    pipeline = Pipeline(stack)
    for tag in ("", "[emu:422_image_load]", "[emu:500_downstream]", "[emu:result_no_url]"):
        await pipeline.ended(tag)
    await pipeline.bought("[emu:submit_502_nginx]")
    await pipeline.grant()
    job_id = await pipeline.admit()
    assert (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    (file,) = (stack.redis.dir / "appendonlydir").glob("*.incr.aof")
    stack.redis.kill()
    return file


async def test_a_file_cut_off_anywhere_gives_a_whole_past(fragile: Stack, full: bool) -> None:  # noqa: FBT001  a fixture
    """I4: a script is written completely or not at all: at any length the ledger balances and no slot is leaked."""
    file = await append_only_file(fragile)
    whole = file.read_bytes()
    chance = random.Random(4)  # noqa: S311  no secret
    for length in [len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(CUTS_IN_FULL if full else CUTS))]:
        file.write_bytes(whole[:length])
        fragile.redis.start()
        async with fragile.redis.client() as redis:
            assert await store_faults(redis) == [], length
        fragile.redis.kill()
    file.write_bytes(whole)
    fragile.redis.start()


async def test_a_file_broken_in_the_middle_is_not_read_at_all(fragile: Stack) -> None:
    """I5: the store does not start on half of its history, and says so; with the original file it does."""
    file = await append_only_file(fragile)
    whole = file.read_bytes()
    middle = whole.index(b"\r\n*", len(whole) // 2)  # between two commands: inside a text any bytes are allowed
    file.write_bytes(whole[:middle] + b"\xff" * 200 + whole[middle + 200 :])
    with pytest.raises(AssertionError, match="the server did not start"):
        fragile.redis.start()
    file.write_bytes(whole)
    fragile.redis.start()
    async with fragile.redis.client() as redis:
        assert await ledger_faults(redis) == []


async def test_with_memory_used_up_what_was_bought_is_written_down(fragile: Stack) -> None:
    """I6: admission stops first; adopting and settling, with event and outbox, succeed."""
    pipeline = Pipeline(fragile)
    ids = [await pipeline.grant("[emu:run:0.3]", webhook_url="https://example.com/hook") for _ in range(2)]
    running = await pipeline.submit(ids[0])
    fragile.redis.apply("CONFIG", "SET", "maxmemory", "1")
    assert_problem(await fragile.api.post("/v1/jobs", json=fragile.body()), 503, "store_unavailable")
    late = await pipeline.submit(ids[1])
    assert (running.status, late.status) == (Status.RUNNING, Status.RUNNING)
    for job_id in ids:
        await pipeline.completed(job_id)
        await finalize_now(pipeline, job_id)
    assert await pipeline.money() == (0, 2 * PRICE)
    assert len(await pipeline.due("deliver")) == 2
    fragile.redis.apply("CONFIG", "SET", "maxmemory", "0")
    await assert_takes_jobs(fragile)


async def finalize_now(pipeline: Pipeline, job_id: str) -> None:
    """The finalize step when it becomes due by itself; `make_due` is no script, and is refused without memory."""
    await finalize(pipeline.gateway, pipeline.ref(job_id))
    assert (await pipeline.job(job_id)).status is Status.SUCCEEDED


async def test_a_replica_behind_the_address_is_503_for_writes(fragile: Stack) -> None:
    """I7: READONLY after a failover that left us with the old primary; nothing is half written."""
    job_id = (await fragile.submit())["id"]
    fragile.redis.apply("REPLICAOF", "127.0.0.1", str(free_port()))
    await assert_reads_only(fragile, job_id)
    fragile.redis.apply("REPLICAOF", "NO", "ONE")
    await assert_takes_jobs(fragile)


async def test_a_store_that_cannot_save_is_503_for_writes(fragile: Stack) -> None:
    """I9: MISCONF, as on a full disk (here a folder is in the snapshot's way); once it can save, writes work."""
    job_id = (await fragile.submit())["id"]
    fragile.redis.apply("CONFIG", "SET", "save", "3600 1")
    in_the_way = fragile.redis.dir / "dump.rdb"
    in_the_way.mkdir()
    fragile.redis.apply("BGSAVE")

    async def saved(word: bytes) -> bool:
        told = fragile.redis.command("INFO", "persistence")
        return b"rdb_bgsave_in_progress:0" in told and b"rdb_last_bgsave_status:" + word in told

    await wait_until(lambda: saved(b"err"), "saving failed")
    await assert_reads_only(fragile, job_id)
    in_the_way.rmdir()
    fragile.redis.apply("BGSAVE")
    await wait_until(lambda: saved(b"ok"), "saving works again")
    await assert_takes_jobs(fragile)


async def test_a_store_whose_log_cannot_grow_loses_nothing_it_has_acknowledged(fragile: Stack) -> None:
    """I9: with `appendfsync always` a store that cannot write its log exits; every acknowledged write is kept."""
    first = (await fragile.submit())["id"]
    size = next((fragile.redis.dir / "appendonlydir").glob("*.incr.aof")).stat().st_size
    _, hard = resource.prlimit(fragile.redis.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(fragile.redis.pid, resource.RLIMIT_FSIZE, (size + 500, hard))
    assert_problem(await fragile.api.post("/v1/jobs", json=fragile.body("lost")), 503, "store_unavailable")
    fragile.redis.kill()
    fragile.redis.start()

    async def back() -> bool:
        return (await fragile.api.get(f"/v1/jobs/{first}")).status_code == 200

    await wait_until(back, "the store is back", timeout=5)
    assert [job["id"] for job in (await fragile.api.get("/v1/jobs")).json()["data"]] == [first]
    async with fragile.redis.client() as redis:
        assert await ledger_faults(redis) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"appendonly": "no"}, "appendonly"),
        ({"appendfsync": "everysec"}, "appendfsync"),
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy"),
    ],
    ids=["no log", "a late log", "eviction"],
)
async def test_a_store_that_may_forget_is_refused(emulator: Emulator, options: dict[str, str], says: str) -> None:
    """I11: in production nothing starts on a store that could lose purchases: exit 78, and one sentence."""
    with RedisServer(**options) as redis:
        settings = {**environment(redis, emulator), "FILMGATE_STORE_CHECK": "refuse"}
        ended = await run_command("serve", environment=clean_environment(**settings))
    assert (ended.returncode, says in ended.stderr) == (78, True)
    assert "Traceback" not in ended.stderr


async def test_scripts_that_the_store_forgot_are_sent_again(pipeline: Pipeline) -> None:
    """I12: SCRIPT FLUSH before every step: each has its effect once."""

    def forget() -> None:
        assert pipeline.stack.redis.command("SCRIPT", "FLUSH") == b"+OK\r\n"

    forget()
    job_id = await pipeline.admit()
    forget()
    await pipeline.gateway.stores.slots.grant()
    forget()
    job = await pipeline.submit(job_id)
    forget()
    await pipeline.completed(job_id)
    forget()
    assert (await pipeline.finalized(job_id)).money is Money.SPENT
    assert await pipeline.entries(job_id) == ["reserve", "settle"]
    await accepted_once(pipeline.stack.emulator, {(job.input or {})["prompt"]})


# --- processes ---------------------------------------------------------------------------------------------------


async def test_workers_without_a_supervisor_exit_in_time(emulator: Emulator, full: bool) -> None:  # noqa: FBT001  a fixture
    """The supervisor is killed while the store is frozen, and RQ waits for it: each process exits within 30 s."""
    if not full:
        pytest.skip("takes 28 s; --full runs it")
    with RedisServer() as store:
        async with open_stack(store, emulator) as stack, stack.workers() as workers:
            left = {pid for pid, _ in children(workers.pid)}
            store.freeze()
            try:
                os.kill(workers.pid, signal.SIGKILL)
                await wait_until(
                    lambda: not left & {pid for pid, _ in children(1)},
                    "all workers have ended",
                    timeout=EXIT_SECONDS,
                    interval=0.5,
                )
            finally:
                store.thaw()


async def test_a_worker_that_gets_many_signals_at_once_stops(store: RedisServer, emulator: Emulator) -> None:
    """Signals during the handler of the previous one: none waits for a lock that its own thread has."""
    async with open_stack(store, emulator) as stack, stack.workers() as workers:
        told = {pid for pid, _ in children(workers.pid)}
        for pid in list(told) * 300:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        await wait_until(lambda: not told & {pid for pid, _ in children(workers.pid)}, "all of them have ended")


async def test_workers_told_to_stop_buy_no_more_and_lose_nothing(store: RedisServer, emulator: Emulator) -> None:
    """I17: SIGTERM in the middle of forty jobs: no new POST, an exit in time, and the next workers do the rest."""
    async with open_stack(store, emulator, FILMGATE_UPSTREAM_CONCURRENCY=str(AT_FAL)) as stack:
        prompts = {f"[emu:run:3] deploy {number}" for number in range(IN_FLIGHT)}
        ids = [(await stack.submit(prompt))["id"] for prompt in sorted(prompts)]

        async def at_fal() -> list[float]:
            return [one["received_at"] for one in await emulator.requests() if one["prompt"] in prompts]

        workers = Workers(stack.environment).start()
        try:

            async def moving() -> bool:
                return len(await at_fal()) > AT_FAL

            await wait_until(moving, "jobs are at fal", timeout=30)
            told = time.time()
        finally:
            began = time.monotonic()
            code = workers.stop()
        assert (code, time.monotonic() - began < EXIT_SECONDS) == (0, True)
        bought = await at_fal()
        assert AT_FAL < len(bought) < IN_FLIGHT
        assert [moment for moment in bought if moment > told + 5] == []
        async with emulator.steered(), stack.workers(FILMGATE_UPSTREAM_CONCURRENCY="40"):
            await emulator.set_speed(10)
            for job_id in ids:
                assert (await stack.until(job_id, "succeeded", "failed", "held"))["status"] == "succeeded"
        await accepted_once(emulator, prompts)


async def test_two_supervisors_by_mistake_buy_nothing_twice(store: RedisServer, emulator: Emulator) -> None:
    """I20: two sets of lanes and workers on one store: the lease and the claim decide."""
    async with open_stack(store, emulator) as stack, stack.workers():
        twin = Workers(stack.environment).start()
        try:

            async def both() -> bool:
                roles = Counter((await stack.gateway.stores.heartbeats.workers()).values())
                return roles["supervisor"] == 2 and roles["work"] == 2

            await wait_until(both, "both have reported", timeout=30)
            prompts = {f"twins {number}" for number in range(30)}
            ids = [(await stack.submit(prompt))["id"] for prompt in sorted(prompts)]
            for job_id in ids:
                await stack.until(job_id, "succeeded")
        finally:
            assert twin.stop() == 0
        await accepted_once(emulator, prompts)


async def test_an_api_without_free_files_recovers(store: RedisServer, emulator: Emulator) -> None:
    """I21: more connections than allowed: the rest waits or is refused; then jobs are accepted as before."""
    async with open_stack(store, emulator) as stack:
        serve = Server(stack.environment).start()
        try:
            headers = {"Authorization": f"Bearer {stack.account.key}"}
            async with httpx.AsyncClient(base_url=serve.url, headers=headers, timeout=5, trust_env=False) as api:

                async def takes_jobs() -> bool:
                    with contextlib.suppress(httpx.TransportError):
                        reply = await api.post("/v1/jobs", json=stack.body())
                        assert reply.status_code in {202, 503}, reply.text
                        return reply.status_code == 202
                    return False

                await wait_until(takes_jobs, "the API takes jobs", timeout=40)
                pid = serve.pid
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILES, FILES))
                with contextlib.ExitStack() as concurrently:
                    for _ in range(2 * FILES):
                        one = concurrently.enter_context(socket.socket())
                        one.setblocking(False)
                        one.connect_ex(("127.0.0.1", serve.port))

                    async def full_up() -> bool:
                        return len(os.listdir(f"/proc/{pid}/fd")) >= FILES - 2  # noqa: PTH208  names only

                    await wait_until(full_up, "it has no file left")
                await wait_until(takes_jobs, "the API takes jobs again", timeout=20)
                assert serve.running
        finally:
            serve.stop()
