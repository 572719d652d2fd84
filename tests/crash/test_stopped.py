"""Row C27 of the crash matrix: a worker is stopped past its lease, then continues: it buys and writes nothing."""

import asyncio
import os
import signal
import time

import pytest

from app.domain.ids import join_ref
from app.domain.jobs import Job as Record
from app.store.alarms import AlarmStore
from tests.crash.crash_installation import CrashInstallation
from tests.support.waiting import wait_until
from workers.submit import START_POST_WITHIN_S

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


async def stopped_at(supervised: CrashInstallation, point: str, prompt: str) -> tuple[str, int]:
    """Submit a job; the process that passes the point with it is stopped there: the job's id, the process id."""
    before = len(supervised.signalled())
    supervised.arm(point, number=signal.SIGSTOP)
    job_id = await supervised.submit_in_round(prompt, label=prompt.partition(" ")[0], url=supervised.receiver.url)
    return job_id, await supervised.until_signalled(before)


async def go_on(supervised: CrashInstallation, pid: int) -> None:
    """Continue the process, until it is idle."""
    os.kill(pid, signal.SIGCONT)

    async def idle() -> bool:
        return pid not in await asyncio.to_thread(supervised.workers.busy, "work")

    await wait_until(idle, "the process that stood still has done its task", timeout=30)


async def record(supervised: CrashInstallation, job_id: str) -> Record:
    """The job as it is stored."""
    found = await supervised.operator.stores.jobs.get(join_ref(supervised.team, job_id))
    assert found is not None
    return found


async def stopped_resubmission(supervised: CrashInstallation, job_id: str) -> int:
    """An operator resubmits the held job; the worker that has claimed it is stopped: its process id."""
    before = len(supervised.signalled())
    supervised.arm("submit.after_claim", number=signal.SIGSTOP)
    await supervised.operator.operations.resolve("test", job_id, "resubmit")
    return await supervised.until_signalled(before)


async def until_held(supervised: CrashInstallation, job_id: str) -> None:
    """Its lease expires (the test cuts it short), and another worker holds the job."""

    async def held() -> bool:
        (job,) = [job for job in await supervised.jobs() if job["id"] == job_id]
        if job["status"] == "submitting":
            await supervised._push(job, 60, hurry=True)
        return bool(job["status"] == "held")

    await wait_until(held, f"{job_id} is held", timeout=30)


async def test_a_worker_that_stood_still_before_its_post_does_not_send_it(supervised: CrashInstallation) -> None:
    """Held, then resubmitted by an operator: the first worker wakes up and sends nothing."""
    await supervised.ready()
    since = await supervised.newest_event()
    job_id, pid = await stopped_at(supervised, "submit.after_claim", "still-before a clip")
    claimed_before = time.monotonic()
    jobs = await supervised.until_ended("still-before", 1)
    ended = await record(supervised, job_id)
    await wait_until(
        lambda: time.monotonic() - claimed_before > START_POST_WITHIN_S, "its right to send is over", timeout=30
    )
    await go_on(supervised, pid)
    assert await record(supervised, job_id) == ended
    assert ended.attempt == 2
    await supervised.check([job_id], jobs, since=since, receiver=supervised.receiver)


async def test_a_refusal_that_comes_too_late_does_not_put_the_job_in_line(supervised: CrashInstallation) -> None:
    """The first attempt was refused, the second is in progress: the first worker's write is rejected."""
    await supervised.ready()
    since = await supervised.newest_event()
    job_id, first = await stopped_at(supervised, "submit.answered", "still-refused a clip [emu:429_direct:1]")
    await until_held(supervised, job_id)
    second = await stopped_resubmission(supervised, job_id)
    under_way = await record(supervised, job_id)
    await go_on(supervised, first)
    assert await record(supervised, job_id) == under_way
    await go_on(supervised, second)
    jobs = await supervised.until_ended("still-refused", 1)
    await supervised.check([job_id], jobs, since=since, receiver=supervised.receiver)


async def test_a_result_that_comes_too_late_settles_nothing(supervised: CrashInstallation) -> None:
    """Another worker has settled the job meanwhile: the first one changes nothing."""
    await supervised.ready()
    since = await supervised.newest_event()
    job_id, pid = await stopped_at(supervised, "finalize.read", "still-result a clip")
    jobs = await supervised.until_ended("still-result", 1)
    ended = await record(supervised, job_id)
    await go_on(supervised, pid)
    assert await record(supervised, job_id) == ended
    await supervised.check([job_id], jobs, since=since, receiver=supervised.receiver)


async def test_an_answer_that_comes_too_late_is_an_orphan(supervised: CrashInstallation) -> None:
    """An operator was mistaken, and the job is bought again: the first request is cancelled, with an alarm."""
    await supervised.ready()
    prompt = "still-answer a clip [emu:webhook_late]"
    supervised.excused.add(prompt)
    job_id, first = await stopped_at(supervised, "submit.answered", prompt)
    await until_held(supervised, job_id)
    orphan = await supervised.request_of(prompt)
    second = await stopped_resubmission(supervised, job_id)
    under_way = await record(supervised, job_id)
    await go_on(supervised, first)
    assert await record(supervised, job_id) == under_way
    alarms = await AlarmStore(supervised.store).newest(10)
    assert (job_id, orphan) in {(alarm.job, alarm.upstream_request_id) for alarm in alarms}
    await go_on(supervised, second)
    (job,) = await supervised.until_ended("still-answer", 1)
    assert job["status"] == "succeeded"
    assert (await record(supervised, job_id)).upstream_request_id != orphan
    await supervised.until_delivered()
    assert await supervised.faults() == []
