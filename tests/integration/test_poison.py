"""A step that kills its worker is quarantined after the second time, with its money held; other jobs continue."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain.deliveries import ATTEMPT_LEASE_MS
from app.domain.jobs import Money, Status
from app.store import keys
from app.store.quarantine import Quarantined
from tests.support.emulator import Emulator
from tests.support.endpoints import acquired, endpoint, later, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.processes import clean_environment, run_command
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from workers.deliver import deliver
from workers.finalize import finalize, finalize_all
from workers.runtime import Runtime

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
CLIP = Reply(200, body=b'{"video": {"url": "https://v3.fal.media/files/a/output.mp4"}}')


async def dies_with(pipeline: Pipeline, step: str, ref: str) -> None:
    """A worker acquires the ref and dies; its refs become due."""
    await pipeline.make_due(step, ref)
    assert await pipeline.gateway.stores.quarantine.acquire(step, ref, hidden_ms=1000)


async def in_progress(pipeline: Pipeline) -> list[str]:
    """The refs that workers have acquired, or had when they died."""
    found: list[str] = await pipeline.redis.keys(keys.open_leases("*", "*"))
    return found


async def command(pipeline: Pipeline, *words: str) -> Any:
    """The output of `filmgate …`, parsed where it is JSON."""
    ended = await run_command(*words, environment=clean_environment(**pipeline.stack.environment))
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if ended.stdout.strip() else None


async def test_the_third_worker_does_not_take_it_up(pipeline: Pipeline) -> None:
    """Two workers died with it: it leaves the due set, keeps state and money, and an operator releases it."""
    job = await pipeline.completed((await pipeline.bought()).id)
    ref = pipeline.ref(job.id)
    for _ in range(2):
        await dies_with(pipeline, "finalize", ref)
    await pipeline.make_due("finalize", ref)
    with pytest.raises(Quarantined):
        await finalize(pipeline.gateway, ref)
    assert await pipeline.due("finalize") == []
    now = await pipeline.job(job.id)
    assert (now.status, now.money, await pipeline.money()) == (Status.FINALIZING, Money.RESERVED, (PRICE, 0))
    (row,) = await command(pipeline, "jobs", "aside", "--json")
    assert (row["step"], row["id"]) == ("finalize", job.id)
    assert await command(pipeline, "jobs", "release", job.id, "--json") == [{"step": "finalize", "id": job.id}]
    assert await pipeline.gateway.stores.quarantine.steps() == []
    assert (await pipeline.finalize(job.id)).status is Status.SUCCEEDED
    assert await in_progress(pipeline) == []


async def test_what_is_not_set_aside_is_not_released(pipeline: Pipeline) -> None:
    """A wrong id makes nothing due."""
    job = await pipeline.completed((await pipeline.bought()).id)
    assert not await pipeline.gateway.stores.quarantine.release("finalize", pipeline.ref(job.id))
    assert not await pipeline.gateway.stores.quarantine.release("deliver", pipeline.ref(job.id))
    assert await pipeline.due("deliver") == []


async def test_a_step_that_waits_is_no_death(pipeline: Pipeline) -> None:
    """Reads without a result release the ref."""
    job = await pipeline.completed((await pipeline.bought("[emu:result_expired]")).id)
    for _ in range(3):
        assert (await pipeline.finalize(job.id)).status is Status.FINALIZING
        assert await in_progress(pipeline) == []
    await pipeline.finalized(job.id)


async def test_a_step_that_fails_counts_like_a_death(pipeline: Pipeline) -> None:
    """Twice; the third time it is quarantined. A success in between resets the count."""
    job = await pipeline.completed((await pipeline.bought()).id)
    ref = pipeline.ref(job.id)

    async def fails() -> None:
        await pipeline.make_due("finalize", ref)
        with pytest.raises(ZeroDivisionError):
            async with pipeline.gateway.stores.quarantine.lease("finalize", ref, hidden_ms=1000):
                raise ZeroDivisionError

    await fails()
    await pipeline.make_due("finalize", ref)
    async with pipeline.gateway.stores.quarantine.lease("finalize", ref, hidden_ms=1000) as taken_ms:
        assert taken_ms
    assert await in_progress(pipeline) == []
    for _ in range(2):
        await fails()
    await pipeline.make_due("finalize", ref)
    with pytest.raises(Quarantined):
        await finalize(pipeline.gateway, ref)
    assert [row[:2] for row in await pipeline.gateway.stores.quarantine.steps()] == [("finalize", ref)]
    assert (await pipeline.job(job.id)).status is Status.FINALIZING


async def test_a_store_that_was_away_is_no_death(store: RedisServer, emulator: Emulator) -> None:
    """The step ended while the store was down: its end is written together with the next one."""
    async with open_stack(store, emulator) as stack:
        pipeline = Pipeline(stack)
        jobs = [await pipeline.completed((await pipeline.bought()).id) for _ in range(2)]
        stores = stack.gateway.stores
        ref = pipeline.ref(jobs[0].id)
        assert await stores.quarantine.acquire("finalize", ref, hidden_ms=1000)
        store.freeze()
        try:
            with pytest.raises(Exception, match="store"):
                await stores.quarantine.end_lease("finalize", ref)
        finally:
            store.thaw()
        await pipeline.finalize(jobs[1].id)
        assert await in_progress(pipeline) == []
        await pipeline.finalize(jobs[0].id)


async def test_what_was_in_hand_beside_it_is_worked_on_alone(pipeline: Pipeline) -> None:
    """Eight refs were with one worker when it died: each is retried alone, and only the killer is left."""
    jobs = [await pipeline.completed((await pipeline.bought()).id) for _ in range(3)]
    refs = [pipeline.ref(job.id) for job in jobs]
    for ref in refs:
        await dies_with(pipeline, "finalize", ref)
        await pipeline.make_due("finalize", ref)
    assert await pipeline.gateway.stores.quarantine.leased("finalize", refs) == set(refs)
    loop = asyncio.get_running_loop()
    runtime = await loop.run_in_executor(None, lambda: Runtime(pipeline.stack.settings, queue="work"))
    try:
        await loop.run_in_executor(None, lambda: runtime.run(finalize_all(runtime, refs)))
    finally:
        await loop.run_in_executor(None, runtime.close)
    assert [(await pipeline.job(job.id)).status for job in jobs] == [Status.SUCCEEDED] * 3
    assert await in_progress(pipeline) == []


@pytest.mark.parametrize("way", ["release", "replay"])
async def test_a_delivery_that_ends_its_workers_is_a_dead_letter(
    pipeline: Pipeline, receiver: Receiver, way: str
) -> None:
    """The team sees why, deliveries behind it go on, and a replay or the operator sends it after all."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, events=["job.queued"])
        await pipeline.admit()
        for _ in range(2):
            ((ref, destination),) = await acquired(pipeline)
            stores = pipeline.gateway.stores
            assert await stores.quarantine.acquire(
                "deliver", ref, hidden_ms=ATTEMPT_LEASE_MS, destination=destination
            )
            await later(pipeline, made["id"], ms=ATTEMPT_LEASE_MS)
        await pipeline.admit()  # one slot for the destination: it waits behind the poisonous delivery
        assert [handed[0] for handed in await acquired(pipeline)] == [ref]
        with pytest.raises(Quarantined):
            await deliver(pipeline.gateway, ref, destination=destination)
        assert await sent(pipeline) == 1
        (dead,) = (await api.get("/v1/deliveries", params={"status": "dead"})).json()["data"]
        (attempt,) = dead["attempts"]
        assert (attempt["status"], attempt["outcome"], attempt["error"]) == (None, "worker_died", "worker_died")
        assert [row[:2] for row in await stores.quarantine.steps()] == [("deliver", ref)]
        if way == "replay":
            assert (await api.post(f"/v1/deliveries/{dead['id']}/replay")).status_code == 202
        else:
            await command(pipeline, "jobs", "release", dead["id"], "--json")
        assert await stores.quarantine.steps() == []
        assert (await api.get("/v1/deliveries", params={"status": "dead"})).json()["data"] == []
        assert await sent(pipeline) == 1
        shown = (await api.get("/v1/deliveries", params={"status": "delivered"})).json()["data"]
    assert {one["dead_at"] for one in shown} == {None}
    assert [one["outcome"] for one in shown[-1]["attempts"]] == ["worker_died", "delivered"]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {one["id"] for one in shown}
    assert await in_progress(pipeline) == []


@dataclass
class DeadlyFal:
    """A fal whose result for a prompt with `poison` in it crashes whoever reads it."""

    receiver: Receiver
    workers: Workers | None = None
    deadly: bool = True
    deaths: int = 0
    poison: set[str] = field(default_factory=set)
    _count: int = 0

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        """Answer the latest request."""
        request = self.receiver.requests[-1]
        request_id = request.target.partition("/requests/")[2].partition("/")[0].partition("?")[0]
        reply = CLIP
        if request.method == "POST":
            self._count += 1
            if b"poison" in request.body:
                self.poison.add(f"req-{self._count}")
            reply = Reply(200, body=f'{{"request_id": "req-{self._count}"}}'.encode())
        elif "/status" in request.target:
            reply = Reply(200, body=b'{"status": "COMPLETED"}')
        elif request_id in self.poison and self.deadly and self.workers is not None:
            self.deaths += self.workers.kill_children("work")
            return
        with contextlib.suppress(ConnectionError):
            writer.write(reply.encoded())
            await writer.drain()


async def test_one_poisonous_job_ends_two_workers_and_stops_nobody(store: RedisServer, emulator: Emulator) -> None:
    """Real workers: other jobs succeed, it waits with its money held, and succeeds once it is harmless."""
    async with (
        Receiver() as receiver,
        open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=receiver.url, FILMGATE_WORKERS="1") as stack,
    ):
        fal = DeadlyFal(receiver)
        receiver.answers([fal.answer] * 2000)
        pipeline = Pipeline(stack)
        poison = await pipeline.admit("poison")
        others = [await pipeline.admit() for _ in range(4)]
        async with stack.workers() as fal.workers:

            async def set_aside() -> bool:
                for job_id in (poison, *others):  # instead of waiting until a dead worker's refs are due again
                    await pipeline.make_due("finalize", pipeline.ref(job_id))
                return await pipeline.gateway.stores.quarantine.steps() != []

            await wait_until(set_aside, "the poison is set aside", timeout=60, interval=0.5)
            for job_id in others:
                await stack.until(job_id, "succeeded")
            assert fal.deaths == 2
            job = await pipeline.job(poison)
            assert (job.status, job.money) == (Status.FINALIZING, Money.RESERVED)
            assert await pipeline.money() == (PRICE, 4 * PRICE)

            async def alarmed() -> bool:
                return [(one.kind, one.job) for one in await pipeline.gateway.stores.alarms.newest(10)] == [
                    ("quarantined", poison)
                ]

            await wait_until(alarmed, "an administrator is told")
            fal.deadly = False
            assert await pipeline.gateway.stores.quarantine.release("finalize", pipeline.ref(poison))
            await stack.until(poison, "succeeded")
        assert sum(request.method == "POST" for request in receiver.requests) == 5
