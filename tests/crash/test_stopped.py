"""Row C27 of the crash matrix: a worker stands still past its lease, and goes on: it buys and writes nothing."""

import asyncio
import os
import signal
import time

import pytest

from app.domain.ids import join_ref
from app.domain.jobs import Job as Record
from app.store.alarms import AlarmStore
from tests.crash.crash_installation import CrashSite
from tests.support.waiting import wait_until
from workers.submit import START_POST_WITHIN_S

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


async def stopped_at(here: CrashSite, point: str, prompt: str) -> tuple[str, int]:
    """Submit a job; the process that passes the point with it stands still there: the job's id, the process id."""
    before = len(here.signalled())
    here.arm(point, number=signal.SIGSTOP)
    job_id = await here.submit(prompt, label=prompt.partition(" ")[0], url=here.receiver.url)
    return job_id, await here.until_signalled(before)


async def go_on(here: CrashSite, pid: int) -> None:
    """The process goes on, until it has nothing in hand any more."""
    os.kill(pid, signal.SIGCONT)

    async def idle() -> bool:
        return pid not in await asyncio.to_thread(here.site.workers.busy, "work")

    await wait_until(idle, "the process that stood still has done its task", timeout=30)


async def record(here: CrashSite, job_id: str) -> Record:
    """The job as it is stored."""
    found = await here.operator.stores.jobs.get(join_ref(here.team, job_id))
    assert found is not None
    return found


async def until_held(here: CrashSite, job_id: str) -> None:
    """Its lease runs out (the test cuts it short), and another worker holds it."""

    async def held() -> bool:
        (job,) = [job for job in await here.site.jobs() if job["id"] == job_id]
        if job["status"] == "submitting":
            await here._push(job, 60, hurry=True)
        return bool(job["status"] == "held")

    await wait_until(held, f"{job_id} is held", timeout=30)


async def test_a_worker_that_stood_still_before_its_post_does_not_send_it(here: CrashSite) -> None:
    """Held, then bought again on an operator's word: the first worker wakes up and sends nothing."""
    await here.site.ready()
    since = await here.newest_event()
    began = time.monotonic()
    job_id, pid = await stopped_at(here, "submit.after_claim", "still-before a clip")
    jobs = await here.settled("still-before", 1)
    ended = await record(here, job_id)

    async def too_late() -> bool:
        return time.monotonic() - began > START_POST_WITHIN_S + 1

    await wait_until(too_late, "its right to send is over", timeout=30)
    await go_on(here, pid)
    assert await record(here, job_id) == ended
    assert ended.attempt == 2
    await here.judge([job_id], jobs, since=since, told=here.receiver)


async def test_a_refusal_that_comes_too_late_does_not_put_the_job_in_line(here: CrashSite) -> None:
    """The first attempt was refused, the second is under way: what the first worker writes is not taken."""
    await here.site.ready()
    since = await here.newest_event()
    job_id, first = await stopped_at(here, "submit.answered", "still-refused a clip [emu:429_direct:1]")
    await until_held(here, job_id)
    before = len(here.signalled())
    here.arm("submit.after_claim", number=signal.SIGSTOP)
    await here.operator.operations.resolve("test", job_id, "resubmit")
    second = await here.until_signalled(before)
    under_way = await record(here, job_id)
    await go_on(here, first)
    assert await record(here, job_id) == under_way
    await go_on(here, second)
    jobs = await here.settled("still-refused", 1)
    await here.judge([job_id], jobs, since=since, told=here.receiver)


async def test_a_result_that_comes_too_late_settles_nothing(here: CrashSite) -> None:
    """Another worker has settled the job meanwhile: the first one changes nothing."""
    await here.site.ready()
    since = await here.newest_event()
    job_id, pid = await stopped_at(here, "finalize.read", "still-result a clip")
    jobs = await here.settled("still-result", 1)
    ended = await record(here, job_id)
    await go_on(here, pid)
    assert await record(here, job_id) == ended
    await here.judge([job_id], jobs, since=since, told=here.receiver)


async def test_an_answer_that_comes_too_late_is_an_orphan(here: CrashSite) -> None:
    """An operator was mistaken, and the job is bought again: the first request is cancelled, with an alarm."""
    await here.site.ready()
    prompt = "still-answer a clip [emu:webhook_late]"
    here.excused.add(prompt)
    job_id, first = await stopped_at(here, "submit.answered", prompt)
    await until_held(here, job_id)
    orphan = await here.site.request_of(prompt)
    before = len(here.signalled())
    here.arm("submit.after_claim", number=signal.SIGSTOP)
    await here.operator.operations.resolve("test", job_id, "resubmit")
    second = await here.until_signalled(before)
    under_way = await record(here, job_id)
    await go_on(here, first)
    assert await record(here, job_id) == under_way
    alarms = await AlarmStore(here.redis).newest(10)
    assert (job_id, orphan) in {(alarm.job, alarm.upstream_request_id) for alarm in alarms}
    await go_on(here, second)
    (job,) = await here.settled("still-answer", 1)
    assert job["status"] == "succeeded"
    assert (await record(here, job_id)).upstream_request_id != orphan
    await here.quiet()
    assert await here.site.faults() == []
