"""How fal's answers affect buying: the breaker, the number of slots, and slots with unknown outcomes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.domain.buying import HELD_SENTENCE
from app.domain.jobs import Money, Status
from app.store import keys
from app.store.buying import FAILURES_TO_OPEN, OPEN_MS
from app.store.slots import QUIET_MS
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.processes import free_port
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import EMULATOR_KEY, Stack, open_stack
from tests.support.waiting import wait_until
from workers.lane import sweep_slots
from workers.submit import submit

pytestmark = pytest.mark.anyio
UNREACHABLE = "fal cannot be reached at the moment: its host refuses the connection."
ACCOUNT = "fal refuses the gateway's key or account; the operator must look at it."


@pytest.fixture
async def offline(store: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """A gateway whose fal refuses every connection; its workers work on every team's jobs."""
    async with open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=f"http://127.0.0.1:{free_port()}") as stack:
        yield stack


async def fail(pipeline: Pipeline, offline: Stack, times: int) -> list[str]:
    """Submit this many jobs for which fal refuses the connection; the jobs, which now wait."""
    ids = []
    for _ in range(times):
        ids.append(await pipeline.grant())
        await submit(offline.gateway, pipeline.ref(ids[-1]))
        assert (await pipeline.job(ids[-1])).status is Status.QUEUED
    return ids


async def opened(pipeline: Pipeline, offline: Stack) -> list[str]:
    """Open the breaker by consecutive failures; the jobs, which are in line again."""
    ids = await fail(pipeline, offline, FAILURES_TO_OPEN)
    for job_id in ids:
        await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job_id): 1})
    return ids


async def half_open(pipeline: Pipeline) -> None:
    """Let the breaker's open time pass."""
    await pipeline.redis.hset(keys.BREAKER, "until_ms", 1)


async def grants(pipeline: Pipeline) -> int:
    """Grant with eight lanes at once; how many were granted."""
    return sum(map(len, await asyncio.gather(*(pipeline.gateway.stores.slots.grant() for _ in range(8)))))


async def alarms(pipeline: Pipeline) -> list[str]:
    """The kinds of all alarms that were raised."""
    newest = await pipeline.gateway.stores.alarms.newest(100)
    return [alarm.kind for alarm in newest if alarm.state == "raised"]


async def probe_of(pipeline: Pipeline) -> str:
    """The id of the probe job, which tests whether fal works again."""
    ref: str = await pipeline.redis.hget(keys.BREAKER, "probe")
    return ref.partition("/")[2]


# --- fal's account -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["401:1", "403_locked:1"])
async def test_trouble_with_the_account_stops_buying_until_a_person_resumes(
    pipeline: Pipeline, tag: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither time nor a late success ends it; jobs wait, callers and administrators see why, no key is shown."""
    job = await pipeline.bought(f"[emu:{tag}]")
    other = await pipeline.admit()
    assert (job.status, job.money) == (Status.QUEUED, Money.RESERVED)
    assert await pipeline.gateway.stores.buying.report("accepted") == ""
    assert await pipeline.gateway.stores.buying.report("account", ACCOUNT) == ""
    state = await pipeline.gateway.stores.buying.state()
    assert (state.breaker, state.until_ms, state.half_open) == (ACCOUNT, None, False)
    assert await grants(pipeline) == 0

    async def told() -> bool:
        return bool((await pipeline.stack.job(other))["upstream_paused"] == {"reason": ACCOUNT})

    await wait_until(told, "the caller sees why", timeout=2)
    assert await alarms(pipeline) == ["breaker_opened"]
    written = "".join(capfd.readouterr())
    assert "breaker.opened" in written
    for text in (
        written,
        repr(await pipeline.gateway.stores.alarms.newest(9)),
        (await pipeline.stack.api.get("/readyz")).text,
    ):
        assert EMULATOR_KEY not in text
    assert await pipeline.gateway.operations.resume("test", team=None) is None
    assert (await pipeline.stack.job(other))["upstream_paused"] is None
    assert await grants(pipeline) == 2
    assert (await pipeline.submit(job.id)).status is Status.RUNNING
    assert (await pipeline.submit(other)).status is Status.RUNNING


async def test_an_open_breaker_loses_no_job(pipeline: Pipeline) -> None:
    """A job whose deadline passes ends free of charge; the other is bought afterwards, once."""
    await pipeline.gateway.stores.buying.report("account", ACCOUNT)
    late, patient = await pipeline.admit(), await pipeline.admit()
    await pipeline.write(late, deadline_ms=1)
    assert await grants(pipeline) == 0
    job = await pipeline.expire(late)
    assert (job.status, job.money, job.error and job.error.code) == (
        Status.FAILED,
        Money.RELEASED,
        "deadline_exceeded",
    )
    assert (await pipeline.job(patient)).status is Status.QUEUED
    await pipeline.gateway.operations.resume("test", team=None)
    assert await grants(pipeline) == 1
    before = await pipeline.posts()
    assert (await pipeline.submit(patient)).status is Status.RUNNING
    assert await pipeline.posts() == before + 1


# --- failures in a row -------------------------------------------------------------------------------------------


async def test_five_failures_in_a_row_open_it_for_half_a_minute(pipeline: Pipeline, offline: Stack) -> None:
    """Four do not; the fifth does, with one alarm; nothing is granted, and every job is kept."""
    ids = await fail(pipeline, offline, FAILURES_TO_OPEN - 1)
    state = await pipeline.gateway.stores.buying.state()
    assert (state.breaker, state.failures, await alarms(pipeline)) == (None, FAILURES_TO_OPEN - 1, [])
    ids += await fail(pipeline, offline, 1)
    state = await pipeline.gateway.stores.buying.state()
    assert state.breaker == UNREACHABLE
    assert state.until_ms == pytest.approx(await pipeline.gateway.stores.clock.now_ms() + OPEN_MS, abs=2000)
    assert await alarms(pipeline) == ["breaker_opened"]
    for job_id in ids:
        await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job_id): 1})
    assert await grants(pipeline) == 0
    assert await pipeline.redis.zcard(keys.LINE) == FAILURES_TO_OPEN


async def test_half_open_one_job_tries_and_its_success_closes_it(pipeline: Pipeline, offline: Stack) -> None:
    """Of eight lanes one is granted one job; once it is accepted, the others follow."""
    ids = await opened(pipeline, offline)
    await half_open(pipeline)
    assert (await pipeline.gateway.stores.buying.state()).half_open
    assert await grants(pipeline) == 1
    assert await grants(pipeline) == 0
    assert (await pipeline.submit(await probe_of(pipeline))).status is Status.RUNNING
    state = await pipeline.gateway.stores.buying.state()
    assert (state.breaker, state.half_open, state.failures) == (None, False, 0)
    assert await grants(pipeline) == len(ids) - 1
    assert await alarms(pipeline) == ["breaker_opened"]


async def test_half_open_a_failure_opens_it_again(pipeline: Pipeline, offline: Stack) -> None:
    """For half a minute, each time; administrators get one alarm."""
    await opened(pipeline, offline)
    for _ in range(3):
        await half_open(pipeline)
        assert await grants(pipeline) == 1
        await submit(offline.gateway, pipeline.ref(await probe_of(pipeline)))
        state = await pipeline.gateway.stores.buying.state()
        assert (state.breaker, state.half_open) == (UNREACHABLE, False)
        assert await grants(pipeline) == 0
    assert await alarms(pipeline) == ["breaker_opened"]


async def test_half_open_a_job_that_never_tries_is_replaced(pipeline: Pipeline, offline: Stack) -> None:
    """Cancelled before its claim, or held because its worker died: the next job is granted at once."""
    await opened(pipeline, offline)
    await half_open(pipeline)
    assert await grants(pipeline) == 1
    assert (await pipeline.stack.api.post(f"/v1/jobs/{await probe_of(pipeline)}/cancel")).status_code == 202
    assert await grants(pipeline) == 1
    job = await pipeline.job(await probe_of(pipeline))
    nonce = await pipeline.store.claim(job)
    assert await grants(pipeline) == 0
    assert await pipeline.store.hold(job, nonce=nonce or "", reason="worker_lost")
    assert await grants(pipeline) == 1


async def test_half_open_a_request_that_fal_rejects_closes_it(
    pipeline: Pipeline, offline: Stack, store: RedisServer, emulator: Emulator
) -> None:
    """It fails because of its input, which shows that fal works."""
    await opened(pipeline, offline)
    await half_open(pipeline)
    assert await grants(pipeline) == 1
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as other:
        fal.answers([Reply(422, body=b'{"detail": "no"}')])
        await submit(other.gateway, pipeline.ref(await probe_of(pipeline)))
    assert (await pipeline.job(await probe_of_ended(pipeline))).status is Status.FAILED
    assert not (await pipeline.gateway.stores.buying.state()).half_open
    assert await grants(pipeline) == FAILURES_TO_OPEN - 1


async def probe_of_ended(pipeline: Pipeline) -> str:
    """The id of the job that ended."""
    jobs = (await pipeline.stack.api.get("/v1/jobs", params={"status": "failed"})).json()["data"]
    job_id: str = jobs[0]["id"]
    return job_id


async def test_a_success_in_between_resets_the_count(pipeline: Pipeline, offline: Stack) -> None:
    """Four failures, a success, four failures: the breaker stays closed."""
    await fail(pipeline, offline, FAILURES_TO_OPEN - 1)
    assert (await pipeline.bought()).status is Status.RUNNING
    assert (await pipeline.gateway.stores.buying.state()).failures == 0
    await fail(pipeline, offline, FAILURES_TO_OPEN - 1)
    assert (await pipeline.gateway.stores.buying.state()).breaker is None


async def test_an_unknown_outcome_counts_twice(pipeline: Pipeline) -> None:
    """Two count as four failures, and the third opens it; the count shows two; the jobs are held."""
    for count in (1, 2):
        assert (await pipeline.bought("[emu:drop_before_accept]")).status is Status.HELD
        state = await pipeline.gateway.stores.buying.state()
        assert (state.failures, state.breaker) == (count, None)
    assert (await pipeline.bought("[emu:submit_500]")).status is Status.HELD
    state = await pipeline.gateway.stores.buying.state()
    assert "unclear" in (state.breaker or "")
    assert state.failures == 3
    await pipeline.admit()
    assert await grants(pipeline) == 0


# --- the number of slots -----------------------------------------------------------------------------------------


async def slots(pipeline: Pipeline) -> int:
    """The current number of slots."""
    return (await pipeline.gateway.stores.buying.state()).slots


async def quiet(pipeline: Pipeline) -> None:
    """A quarter of a minute passes without a 429, and a lane checks."""
    await pipeline.redis.hincrby(keys.BREAKER, "slots_ms", -QUIET_MS)
    await pipeline.gateway.stores.slots.grant()


async def test_a_busy_fal_gets_two_thirds_of_what_it_has(pipeline: Pipeline) -> None:
    """Nine run when the tenth is refused: six slots; no grant until fewer than six are at fal."""
    jobs = [await pipeline.bought() for _ in range(9)]
    refused = await pipeline.bought("[emu:429_direct:1]")
    assert await slots(pipeline) == 6
    await pipeline.redis.zadd(keys.LATER, {pipeline.ref(refused.id): 1})
    for job in jobs[:3]:
        assert await grants(pipeline) == 0
        await pipeline.completed(job.id)
    assert await grants(pipeline) == 0
    await pipeline.completed(jobs[3].id)
    assert await grants(pipeline) == 1
    assert (await pipeline.gateway.stores.buying.state()).used == 6


async def test_refusals_at_once_count_what_is_at_fal(pipeline: Pipeline) -> None:
    """Five of ten are refused at once: two thirds of the five accepted, and not two thirds five times over."""
    ids = [await pipeline.admit("[emu:429_direct:1]" if number % 2 else "a lake") for number in range(10)]
    assert await grants(pipeline) == 10
    await asyncio.gather(*(submit(pipeline.gateway, pipeline.ref(job_id)) for job_id in ids))
    assert sum([(await pipeline.job(job_id)).status is Status.RUNNING for job_id in ids]) == 5
    assert await slots(pipeline) == 3


async def test_slots_grow_by_one_in_each_quiet_while_and_never_above_the_setting(pipeline: Pipeline) -> None:
    """Whether or not anything is accepted: 15 s without a 429 add one slot."""
    for _ in range(20):
        await pipeline.gateway.stores.buying.report("busy")
    assert await slots(pipeline) == 1
    await pipeline.gateway.stores.slots.grant()
    assert await slots(pipeline) == 1
    seen = []
    for _ in range(12):
        await quiet(pipeline)
        seen.append(await slots(pipeline))
    assert seen == [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10]
    for _ in range(12):
        await pipeline.admit()
    assert await grants(pipeline) == 10


# --- slots that hold unknown outcomes ----------------------------------------------------------------------------


async def test_more_than_half_of_the_slots_held_stops_buying(pipeline: Pipeline) -> None:
    """Five of ten do not; the sixth does, and callers see it; buying continues as soon as one is resolved."""
    held = []
    for number in range(6):
        assert (await pipeline.gateway.stores.buying.state()).stopped is None, number
        held.append((await pipeline.bought("[emu:drop_before_accept]")).id)
        await pipeline.gateway.stores.buying.report("accepted")  # so that the breaker is not the cause
    waiting = await pipeline.admit()
    assert await grants(pipeline) == 0
    assert (await pipeline.gateway.stores.buying.state()).stopped == HELD_SENTENCE
    pipeline.gateway.stores.buying.forget()
    assert (await pipeline.stack.job(waiting))["upstream_paused"] == {"reason": HELD_SENTENCE}
    await pipeline.gateway.operations.resolve("test", held[0], "fail", charged=False)
    assert (await pipeline.gateway.stores.buying.state()).stopped is None
    assert await grants(pipeline) == 1


# --- slots and states --------------------------------------------------------------------------------------------


async def test_a_sweep_frees_leaked_slots_and_assigns_missing_ones(pipeline: Pipeline) -> None:
    """A slot without a job, of an ended job, of a queued one without a grant; a running job without a slot."""
    ended = (await pipeline.ended()).id
    granted, running, lacking = await pipeline.grant(), await pipeline.bought(), await pipeline.bought()
    held = await pipeline.bought("[emu:drop_before_accept]")
    fitting = await pipeline.redis.zrange(keys.SLOTS, 0, -1)
    queued = await pipeline.admit()
    assert (await pipeline.gateway.stores.buying.sweep()).freed == []
    await pipeline.redis.zadd(keys.SLOTS, {pipeline.ref(ended): float("inf"), "team_x/job_x": float("inf")})
    await pipeline.redis.zadd(keys.SLOTS, {pipeline.ref(queued): float("inf")})
    await pipeline.redis.zrem(keys.SLOTS, pipeline.ref(lacking.id))
    swept = await pipeline.gateway.stores.buying.sweep()
    assert sorted(swept.freed) == sorted([pipeline.ref(ended), "team_x/job_x", pipeline.ref(queued)])
    assert swept.granted == [pipeline.ref(lacking.id)]
    await pipeline.redis.hset(keys.PAUSES, "all", "so that the line can be seen")
    await pipeline.gateway.stores.slots.grant()
    assert pipeline.ref(queued) in await pipeline.redis.zrange(keys.LINE, 0, -1)
    assert sorted(await pipeline.redis.zrange(keys.SLOTS, 0, -1)) == sorted(fitting)
    assert await pipeline.slot(granted) is not None
    assert await pipeline.slot(held.id) is not None
    assert await pipeline.slot(running.id) == float("inf")


async def test_a_clock_that_is_set_back_puts_nothing_off(pipeline: Pipeline) -> None:
    """The store's clock was an hour ahead: what is due in an hour is due now, and the jobs end."""
    running, finalizing = await pipeline.bought(), await pipeline.bought()
    await pipeline.completed(finalizing.id)
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    for step, job in (("poll", running), ("finalize", finalizing)):
        await pipeline.redis.zadd(keys.due(step), {pipeline.ref(job.id): now_ms + 3_600_000})
    soon = now_ms + 60_000
    claimed = await pipeline.grant()
    assert await pipeline.store.claim(await pipeline.job(claimed))
    await pipeline.redis.zadd(keys.due("submit"), {pipeline.ref(claimed): soon})
    swept = await pipeline.gateway.stores.buying.sweep()
    assert sorted(swept.rescheduled) == sorted([pipeline.ref(running.id), pipeline.ref(finalizing.id)])
    for step, job in (("poll", running), ("finalize", finalizing)):
        assert await pipeline.redis.zscore(keys.due(step), pipeline.ref(job.id)) < soon
    assert await pipeline.redis.zscore(keys.due("submit"), pipeline.ref(claimed)) == soon
    assert (await pipeline.gateway.stores.buying.sweep()).rescheduled == []


async def test_a_lane_sweeps_once_a_minute_and_says_so(
    pipeline: Pipeline, capfd: pytest.CaptureFixture[str]
) -> None:
    """A leaked slot is taken back and logged; this process sweeps again a minute later."""
    leaked = {"team_x/job_x": float("inf")}
    await pipeline.redis.zadd(keys.SLOTS, leaked)
    await sweep_slots(pipeline.gateway)
    assert await pipeline.redis.zcard(keys.SLOTS) == 0
    assert "slots.swept" in "".join(capfd.readouterr())
    await pipeline.redis.zadd(keys.SLOTS, leaked)
    await sweep_slots(pipeline.gateway)
    assert await pipeline.redis.zcard(keys.SLOTS) == 1
