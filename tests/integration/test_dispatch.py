"""Slots, the line, due times and lanes in the store."""

import asyncio

import pytest

from app.domain.buying import ALL_TEAMS
from app.domain.jobs import Charge, Status
from app.store import keys
from app.store.due import ENQUEUED_HIDDEN_MS, DueSteps
from app.store.heartbeats import HEARTBEAT_MS
from app.store.lanes import ENQUEUED
from app.store.slots import GRANT_MS
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def granted(pipeline: Pipeline) -> list[str]:
    """Refs of the jobs that have a slot."""
    refs: list[str] = await pipeline.redis.zrange(keys.SLOTS, 0, -1)
    return refs


async def test_grants_never_exceed_what_fal_takes(pipeline: Pipeline) -> None:
    """Eight lanes grant concurrently and repeatedly while jobs end: never more than ten have a slot."""
    for _ in range(40):
        await pipeline.admit()
    bought: set[str] = set()
    most = 0
    while len(bought) < 40:
        grants = await asyncio.gather(*(pipeline.gateway.stores.slots.grant() for _ in range(8)))
        holders = await granted(pipeline)
        most = max(most, len(holders))
        assert sum(map(len, grants)) <= 10
        for ref in holders[:3]:
            job = await pipeline.store.get(ref)
            assert job is not None
            nonce = await pipeline.store.claim(job)
            error = await pipeline.store.end(
                job, (Status.SUBMITTING,), Status.FAILED, charge=Charge.RELEASE, nonce=nonce or ""
            )
            assert error
            bought.add(ref)
    assert most == 10
    assert await granted(pipeline) == []


async def test_a_smaller_concurrency_is_kept_too(store: RedisServer, emulator: Emulator) -> None:
    """FILMGATE_UPSTREAM_CONCURRENCY limits the total at fal."""
    async with open_stack(store, emulator, FILMGATE_UPSTREAM_CONCURRENCY="2") as stack:
        pipeline = Pipeline(stack)
        for _ in range(5):
            await pipeline.admit()
        assert len(await stack.gateway.stores.slots.grant()) == 2
        assert len(await stack.gateway.stores.slots.grant()) == 0
        assert len(await pipeline.due("submit")) == 2


async def test_the_first_in_line_is_granted_first(pipeline: Pipeline) -> None:
    """High, normal, low; then by admission time."""
    by_priority = {priority: await pipeline.admit(priority=priority) for priority in ("low", "normal", "high")}
    second = await pipeline.admit(priority="high")
    order = []
    for _ in range(4):
        first = (await pipeline.redis.zrange(keys.LINE, 0, 0))[0]
        order.append(first)
        await pipeline.redis.zrem(keys.LINE, first)
    wanted = [by_priority["high"], second, by_priority["normal"], by_priority["low"]]
    assert order == [pipeline.ref(job_id) for job_id in wanted]


async def test_an_unclaimed_grant_returns_to_its_position_in_line(pipeline: Pipeline) -> None:
    """After 90 s the slot is free, and the job is in line before later ones."""
    lost, later = await pipeline.grant(), ""
    later = await pipeline.admit()
    now_ms = await pipeline.gateway.stores.clock.now_ms()
    assert await pipeline.slot(lost) == pytest.approx(now_ms + GRANT_MS, abs=5000)
    await pipeline.redis.hset(keys.PAUSES, ALL_TEAMS, "so that it is not granted again at once")
    await pipeline.redis.zadd(keys.SLOTS, {pipeline.ref(lost): 1})
    assert len(await pipeline.gateway.stores.slots.grant()) == 0
    assert await granted(pipeline) == []
    assert await pipeline.due("submit") == []
    assert await pipeline.redis.zrange(keys.LINE, 0, -1) == [pipeline.ref(lost), pipeline.ref(later)]
    before = await pipeline.posts()
    assert (await pipeline.submit(lost)).status is Status.QUEUED  # by the worker whose grant expired
    assert await pipeline.posts() == before


async def test_a_pause_stops_grants_and_says_why(pipeline: Pipeline) -> None:
    """Nothing is granted to the team, or to any team, until it is over; other teams' jobs continue."""
    await pipeline.admit()
    for team, other in ((pipeline.team, None), (ALL_TEAMS, "We wait for November.")):
        await pipeline.redis.hset(keys.PAUSES, team, "We wait for November.")
        state = await pipeline.gateway.stores.buying.state()
        assert (state.reason_for(pipeline.team), state.reason_for("another")) == ("We wait for November.", other)
        assert len(await pipeline.gateway.stores.slots.grant()) == 0
        await pipeline.redis.delete(keys.PAUSES)
    assert len(await pipeline.gateway.stores.slots.grant()) == 1


async def test_a_waiting_job_returns_to_its_old_position_in_line(pipeline: Pipeline) -> None:
    """Its wait is over: it is before later jobs."""
    job_id = await pipeline.grant()
    nonce = await pipeline.store.claim(await pipeline.job(job_id))
    later = await pipeline.admit(priority="normal")
    await pipeline.store.requeue(await pipeline.job(job_id), nonce=nonce or "", wait_ms=60_000)
    await pipeline.redis.hset(keys.PAUSES, ALL_TEAMS, "so that the line can be seen")
    await pipeline.gateway.stores.slots.grant()
    assert await pipeline.redis.zrange(keys.LINE, 0, -1) == [pipeline.ref(later)]
    await pipeline.redis.zadd(keys.LATER, {pipeline.ref(job_id): 1})
    await pipeline.gateway.stores.slots.grant()
    assert await pipeline.redis.zrange(keys.LINE, 0, -1) == [pipeline.ref(job_id), pipeline.ref(later)]
    assert await pipeline.redis.zcard(keys.LATER) == 0


async def test_an_acquired_ref_is_hidden_and_becomes_due_again(pipeline: Pipeline) -> None:
    """Four workers share what is due; a lost ref becomes due again when its visibility ends."""
    ids = [await pipeline.admit() for _ in range(6)]
    await pipeline.gateway.stores.slots.grant()
    stores = pipeline.gateway.stores
    acquired = await asyncio.gather(*(stores.due.take("submit", limit=3, visibility_ms=60_000) for _ in range(4)))
    refs = [ref for _, found in acquired for ref in found]
    assert sorted(refs) == sorted(pipeline.ref(job_id) for job_id in ids)
    assert not await stores.due.any("submit")
    hidden = dict(await pipeline.redis.zrange(keys.due("submit"), 0, -1, withscores=True))
    now_ms = await stores.clock.now_ms()
    assert list(hidden.values()) == pytest.approx([now_ms + 60_000] * 6, abs=30_000)
    await pipeline.redis.zadd(keys.due("submit"), {ref: due_ms - 90_000 for ref, due_ms in hidden.items()})
    _, again = await stores.due.take("submit", limit=10, visibility_ms=60_000)
    assert sorted(again) == sorted(refs)


async def test_one_of_many_acquires_a_ref(pipeline: Pipeline) -> None:
    """Of several workers one acquires it; a rescheduled or unknown ref is acquired by none."""
    job_id = await pipeline.grant()
    ref, stores = pipeline.ref(job_id), pipeline.gateway.stores
    await stores.due.take("submit", limit=1, visibility_ms=ENQUEUED_HIDDEN_MS)
    acquired = await asyncio.gather(*(stores.quarantine.acquire("submit", ref, hidden_ms=30_000) for _ in range(8)))
    assert sorted(bool(now_ms) for now_ms in acquired) == [False] * 7 + [True]
    assert await stores.quarantine.acquire("submit", "team/job_unknown", hidden_ms=1) == 0
    assert await pipeline.due("submit") == [ref]


async def test_a_dropped_ref_is_not_rescheduled(pipeline: Pipeline) -> None:
    """Rescheduling a ref that was dropped meanwhile does not add it again."""
    job_id = await pipeline.grant()
    ref = pipeline.ref(job_id)
    await pipeline.gateway.stores.due.drop("submit", [ref])
    await pipeline.gateway.stores.due.reschedule("submit", {ref: 1})
    assert await pipeline.due("submit") == []


# --- lanes -------------------------------------------------------------------------------------------------------


async def test_a_lane_has_one_slice(pipeline: Pipeline) -> None:
    """Of many tokens one acquires the lane; only that one renews it, passes it on, or leaves it."""
    stores = pipeline.gateway.stores
    acquired = await asyncio.gather(*(stores.lanes.take(0, f"slice-{n}") for n in range(8)))
    assert sum(acquired) == 1
    mine, other = f"slice-{acquired.index(True)}", "slice-x"
    assert not await stores.lanes.renew(0, other)
    assert not await stores.lanes.hand_over(0, other)
    await stores.lanes.leave(0, other)
    assert await stores.lanes.renew(0, mine)
    assert not await stores.lanes.mark_enqueued(0)
    assert await stores.lanes.hand_over(0, mine)
    assert await pipeline.redis.get(keys.lane(0)) == ENQUEUED
    assert await stores.lanes.take(0, other)
    assert not await stores.lanes.renew(0, mine)
    assert await stores.lanes.take(1, mine)  # another lane is independent


async def test_a_lane_is_idle_only_without_a_job_anywhere(pipeline: Pipeline) -> None:
    """In line, at fal, with a poll, or with another step in the future: the lane looks more often."""
    due, steps = pipeline.gateway.stores.due, ("poll", "submit", "finalize", "deliver")
    assert await due.due_steps(steps) == DueSteps(frozenset(), idle=True)
    job_id = await pipeline.admit()
    assert await due.due_steps(steps) == DueSteps(frozenset(), idle=False)
    await pipeline.gateway.stores.slots.grant()
    assert await due.due_steps(steps) == DueSteps(frozenset({"submit"}), idle=False)
    await pipeline.submit(job_id)
    assert await due.due_steps(steps) == DueSteps(frozenset(), idle=False)
    for waiting in (keys.LINE, keys.LATER, keys.SLOTS, keys.due("poll"), keys.due("deliver")):
        await pipeline.redis.flushdb()
        await pipeline.redis.zadd(waiting, {"some": 1e15})
        assert await due.due_steps(steps) == DueSteps(frozenset(), idle=False), waiting
    await pipeline.redis.flushdb()


async def test_a_lane_without_a_slice_is_enqueued_once(pipeline: Pipeline) -> None:
    """Many supervisors see that it is dark; one enqueues a slice."""
    stores = pipeline.gateway.stores
    rung = await asyncio.gather(*(stores.lanes.mark_enqueued(0) for _ in range(8)))
    assert sum(rung) == 1
    assert await stores.lanes.take(0, "slice")
    await stores.lanes.leave(0, "slice")
    await wait_until(lambda: stores.lanes.mark_enqueued(0), "the lane that was left can be rung", timeout=2)


async def test_a_slice_that_died_loses_its_lane_within_two_seconds(pipeline: Pipeline) -> None:
    """The lease expires by itself."""
    stores = pipeline.gateway.stores
    assert await stores.lanes.take(0, "dead")
    assert await pipeline.redis.pttl(keys.lane(0)) <= 2000
    await wait_until(lambda: stores.lanes.take(0, "next"), "the lease ran out", timeout=4)


async def test_heartbeats_are_one_key_that_forgets_the_dead(pipeline: Pipeline) -> None:
    """A process without recent heartbeats is not shown, and is deleted by the next heartbeat."""
    stores = pipeline.gateway.stores
    await stores.heartbeats.beat("one:1", role="lanes")
    await stores.heartbeats.beat("two:2", role="work")
    assert await stores.heartbeats.workers() == {"one:1": "lanes", "two:2": "work"}
    await pipeline.redis.zincrby(keys.WORKERS, -HEARTBEAT_MS - 1, "lanes one:1")
    assert await stores.heartbeats.workers() == {"two:2": "work"}
    assert await stores.heartbeats.keep_beating({"one:1": "lanes", "two:2": "work"}) == {"two:2"}
    assert await pipeline.redis.zrange(keys.WORKERS, 0, -1) == ["work two:2"]
    assert 0 < await pipeline.redis.pttl(keys.WORKERS) <= HEARTBEAT_MS
