"""The lanes and their RQ workers as real processes: killed, without their tasks, stopped in the middle.

One supervisor serves all tests of this file; each test leaves it working.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from app.domain.jobs import Money, Status
from app.machine import process_name
from app.store import keys
from app.store.lanes import ENQUEUED
from tests.support.checks import store_faults
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from tests.support.workers import Workers
from workers.queues import QUEUES, open_queue

pytestmark = pytest.mark.anyio


@dataclass
class Live:
    """A running gateway with workers and their log, and RQ's own view of the store."""

    pipeline: Pipeline
    workers: Workers
    rq: Any
    log: Path

    async def restarted(self, queue: str, gone: list[int]) -> list[int]:
        """The queue's new worker processes, once they have replaced the old ones."""

        async def replaced() -> list[int]:
            pids = self.workers.pids(queue)
            return pids if len(pids) == len(gone) and not set(pids) & set(gone) else []

        return await wait_until(replaced, f"{queue} was started again", timeout=30)

    async def both_lane_workers(self) -> bool:
        """True when the process that works on `lanes` and its spare have both reported."""
        reported = {name.rpartition(":")[2] for name in await self.pipeline.gateway.stores.heartbeats.workers()}
        return sum(str(pid) in reported for pid in self.workers.pids("lanes")) == 2


@pytest.fixture(scope="module")
async def live(
    redis_server: RedisServer, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """Real workers on an empty store; at the end the ledger is right and everything stops in order."""
    redis_server.flush()
    log = tmp_path_factory.mktemp("lanes") / "workers.log"
    with Redis.from_url(redis_server.url) as rq:
        async with open_stack(redis_server, emulator) as stack:
            pipeline = Pipeline(stack)
            async with stack.workers(log) as workers:
                yield Live(pipeline, workers, rq, log)
            assert workers._process is not None
            assert workers._process.returncode == 0
            assert await store_faults(pipeline.redis) == []


async def ended(live: Live, job_id: str) -> Status:
    """The job's terminal status."""
    await live.pipeline.stack.until(job_id, "succeeded", "failed", "canceled", timeout=40)
    return (await live.pipeline.job(job_id)).status


async def test_many_jobs_are_bought_and_delivered_once_each(live: Live) -> None:
    """More than fal takes at once: all succeed, with one POST and one message each."""
    before = await live.pipeline.posts()
    async with Receiver() as receiver:
        ids = await asyncio.gather(*(live.pipeline.admit(webhook_url=receiver.url) for _ in range(15)))
        assert {await ended(live, job_id) for job_id in ids} == {Status.SUCCEEDED}
        await receiver.wait_for(15)
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 15
        assert len(receiver.requests) == 15
    assert await live.pipeline.posts() == before + 15


async def test_rqs_own_tool_shows_the_queues(live: Live) -> None:
    """`rq info` shows every queue, that of the storage too, and the workers."""
    command = [sys.executable, "-m", "rq.cli", "info", "--url", live.pipeline.stack.redis.url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    for queue in QUEUES:
        assert queue in done.stdout
    assert f"{len(QUEUES)} queues" in done.stdout
    assert "4 workers" in done.stdout


async def test_a_task_that_rq_lost_is_enqueued_again(live: Live) -> None:
    """The queue's list is deleted with the task in it; the job becomes due again within seconds."""
    pids = live.workers.pids("work")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # The stopped workers' pending commands are answered before anything else is queued.
        job_id = await live.pipeline.admit()
        before = await live.pipeline.posts()
        await wait_until(lambda: bool(live.rq.llen("rq:queue:work")), "the submission was rung", timeout=15)
        live.rq.delete("rq:queue:work")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert await ended(live, job_id) is Status.SUCCEEDED
    assert await live.pipeline.posts() == before + 1


async def test_a_killed_lane_is_taken_over_and_never_runs_twice(live: Live) -> None:
    """Kill -9 of the lane's process: another takes over (tests/crash times it); one slice at any moment."""
    lane = keys.lane(0)

    async def token() -> str | None:
        found = await live.pipeline.redis.get(lane)
        return found if found != ENQUEUED else None

    async def kill() -> int | None:
        return await asyncio.to_thread(live.workers.kill_busy, "lanes")

    async def at_work() -> list[int]:
        return await asyncio.to_thread(live.workers.busy, "lanes")

    for _ in range(2):
        await wait_until(live.both_lane_workers, "one lane worker works and one is ready", timeout=30)
        await wait_until(token, "a slice runs")
        killed = await wait_until(kill, "the one at work was killed")
        old = await token()

        async def other(old: str | None = old) -> bool:
            now = await token()
            return now is not None and now != old

        await wait_until(other, "another slice runs", timeout=10)
        assert killed not in await wait_until(at_work, "one is at work")
    await wait_until(live.both_lane_workers, "the killed one was replaced", timeout=30)
    tokens = set()
    for _ in range(40):  # over two seconds of a slice of five: one token, or two if a slice ends in that time
        tokens.add(await live.pipeline.redis.get(lane))
        await asyncio.sleep(0.05)
    assert len(tokens - {ENQUEUED, None}) <= 2
    assert len(live.workers.pids("lanes")) == 2  # one works, one is the spare
    assert await ended(live, await live.pipeline.admit()) is Status.SUCCEEDED


async def test_tasks_of_a_lane_do_not_pile_up(live: Live) -> None:
    """A few surplus tasks: each runs once, and the lane's queue is empty again."""
    queue = open_queue("lanes", live.rq)
    for number in range(2):
        queue.enqueue("workers.tasks.lane", 0, job_id=f"extra-{number}", job_timeout=20, result_ttl=0)

    async def drained() -> bool:
        return not any(live.rq.exists(f"rq:job:extra-{number}") for number in range(2))

    assert await ended(live, await live.pipeline.admit()) is Status.SUCCEEDED
    await wait_until(drained, "the extra doorbells were answered", timeout=40, interval=0.2)
    assert queue.count <= 1


async def test_a_task_that_takes_too_long_ends_its_process(live: Live) -> None:
    """RQ's alarm does not interrupt a step: the process is replaced, and the new one works."""
    gone = live.workers.pids("deliveries")
    slice_of_seconds = ("workers.tasks.lane", 7)
    open_queue("deliveries", live.rq).enqueue(*slice_of_seconds, job_timeout=1, result_ttl=0, failure_ttl=60)
    await live.restarted("deliveries", gone)
    async with Receiver() as receiver:
        await live.pipeline.admit(webhook_url=receiver.url)
        await receiver.wait_for(1, timeout=40)


async def test_nothing_but_our_tasks_is_run(live: Live, tmp_path: Path) -> None:
    """A foreign function, even as a callback or of an instance, is not even imported; lanes and steps go on."""
    made = tmp_path / "made"
    words = ["touch", str(made)]
    before = {name: live.workers.pids(name) for name in ("lanes", "work", "deliveries")}
    plain: dict[str, Any] = {"connection": live.rq, "serializer": JSONSerializer}
    for name in ("work", "lanes", "deliveries"):
        queue = Queue(name, **plain)
        queue.enqueue("subprocess.check_output", words, failure_ttl=60)
        queue.enqueue("workers.tasks.deliver", [], on_success=Callback("antigravity.geohash"), failure_ttl=60)
        queue.enqueue("nowhere.at_all", on_failure=Callback("subprocess.check_output"), failure_ttl=60)
        job = Job.create("touch", args=(str(made),), **plain)
        job.data = JSONSerializer.dumps(["format", "{}", ["x"], {}])  # type: ignore[no-untyped-call]  # untyped in RQ
        queue.enqueue_job(job)
        live.rq.hset(f"rq:job:odd-{name}", mapping={"data": b"\xff", "created_at": "never", "origin": name})
        live.rq.rpush(f"rq:queue:{name}", f"odd-{name}")

    async def rung() -> bool:
        alarms = await live.pipeline.gateway.stores.alarms.newest(50)
        return sum(alarm.kind == "foreign_task" for alarm in alarms) >= 9

    await wait_until(rung, "each was refused with an alarm", timeout=40)
    assert await ended(live, await live.pipeline.admit()) is Status.SUCCEEDED
    assert not await asyncio.to_thread(made.exists)
    live.rq.delete(*(f"rq:job:odd-{name}" for name in before))
    assert {name: live.workers.pids(name) for name in before} == before, "no worker died of it"


async def test_a_worker_killed_in_the_middle_of_its_call_leaves_a_held_job(live: Live) -> None:
    """Fal has the request, but its id is lost: after the lease the job is held, and never posted again."""
    before = await live.pipeline.posts()
    job_id = await live.pipeline.admit("[emu:submit_hang]")

    async def posted() -> bool:
        return await live.pipeline.posts() == before + 1

    await wait_until(posted, "the job is at fal", timeout=15)
    gone = live.workers.pids("work")
    live.workers.kill_children("work")
    job = await live.pipeline.job(job_id)
    assert job.status is Status.SUBMITTING
    await live.restarted("work", gone)
    await live.pipeline.write(job_id, lease_ms=1)
    await live.pipeline.make_due("submit", live.pipeline.ref(job_id))
    await live.pipeline.stack.until(job_id, "held", timeout=30)
    job = await live.pipeline.job(job_id)
    assert (job.held_reason, job.money, job.attempt) == ("worker_lost", Money.RESERVED, 1)
    assert await ended(live, await live.pipeline.admit()) is Status.SUCCEEDED  # the pipeline still works
    assert await live.pipeline.posts() == before + 2
    await live.pipeline.gateway.operations.resolve("test", job_id, "fail", charged=True)


async def test_an_end_is_delivered_although_its_workers_died(live: Live) -> None:
    """The message was written with the end: any later worker sends it."""
    async with Receiver() as receiver:
        gone = live.workers.pids("deliveries")
        for pid in gone:
            os.kill(pid, signal.SIGSTOP)
        job_id = await live.pipeline.admit(webhook_url=receiver.url)
        await live.pipeline.stack.until(job_id, "succeeded", timeout=30)
        live.workers.kill_children("deliveries")
        live.workers.kill_children("work")
        assert receiver.requests == []
        (request, *_) = await receiver.wait_for(1, timeout=60)
        (delivery,) = (await live.pipeline.stack.api.get(f"/v1/jobs/{job_id}/deliveries")).json()["data"]
        assert request.headers["webhook-id"] == delivery["id"]
        await live.restarted("deliveries", gone)


async def test_a_running_submission_is_finished_at_a_stop(live: Live) -> None:
    """SIGTERM to one worker during its POST: the answer is still written."""
    before = await live.pipeline.posts()
    job_id = await live.pipeline.admit("[emu:run:1]")

    async def posted() -> bool:
        return await live.pipeline.posts() == before + 1

    await wait_until(posted, "the job is at fal", timeout=15)
    gone = live.workers.pids("work")
    for pid in gone:
        os.kill(pid, signal.SIGTERM)
    await live.restarted("work", gone)
    assert await ended(live, job_id) is Status.SUCCEEDED
    assert await live.pipeline.posts() == before + 1


async def test_workers_that_the_store_has_forgotten_are_known_again(live: Live) -> None:
    """After a restore, or an outage longer than a heartbeat's TTL, nothing has to be restarted."""
    redis = live.pipeline.redis
    names = {process_name(pid) for queue in QUEUES for pid in live.workers.pids(queue)}
    assert len(names) == 4

    async def known() -> bool:
        return set(await live.pipeline.gateway.stores.heartbeats.workers()) >= names

    await wait_until(known, "all workers have reported", timeout=30)
    reported = dict(await redis.zrange(keys.WORKERS, 0, -1, withscores=True))

    async def renewed() -> bool:
        now = dict(await redis.zrange(keys.WORKERS, 0, -1, withscores=True))
        return all(now[one] > at_ms for one, at_ms in reported.items() if one.partition(" ")[2] in names)

    await wait_until(renewed, "the supervisor has seen all of them", timeout=15)
    await redis.delete(keys.WORKERS)
    await wait_until(known, "all workers are known again", timeout=15)


async def test_a_refusal_of_the_store_has_a_line_and_passes(live: Live) -> None:
    """The lanes' queue is no list: the keeper says what the store answers, and goes on once it is one."""
    queue = "rq:queue:lanes"
    with live.rq.pipeline() as together:
        together.delete(queue).set(queue, "of another program").execute()

    def said() -> bool:
        lines = [line for line in live.log.read_text().splitlines() if '"keeper"' in line]
        return any('"cause":"refused"' in line and "WRONGTYPE" in line for line in lines)

    await wait_until(lambda: asyncio.to_thread(said), "the keeper's line", timeout=30)
    live.rq.delete(queue)
    assert await ended(live, await live.pipeline.admit()) is Status.SUCCEEDED
