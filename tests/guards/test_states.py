"""The graph of states: what is drawn, what is listed, and what the store allows are one thing."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import product

import pytest

from app.domain import jobs as domain
from app.domain.jobs import ENDS, NEXT, Job, Status
from app.store import keys
from app.store.jobs import Charge, JobStore
from tests.support.emulator import running_emulator
from tests.support.hand import Hand
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack

END_OF = {
    Status.SUCCEEDED: Charge.SPEND,
    Status.FAILED: Charge.RELEASE,
    Status.CANCELED: Charge.RELEASE,
}


def drawn() -> dict[Status, frozenset[Status]]:
    """The graph in the docstring: `from → to · to (remark) · to   remark`."""
    found = {}
    for line in (domain.__doc__ or "").splitlines():
        before, arrow, after = line.partition("→")
        if arrow:
            plain = re.sub(r"\([^)]*\)", "", after)
            words = [re.split(r"\s{2,}", part.strip())[0] for part in plain.split("·")]
            found[Status(before.strip())] = frozenset(map(Status, words))
    return found


def test_the_drawing_is_the_list() -> None:
    """Every state that has a way out is drawn, with all its ways; the rest are the ends."""
    assert drawn() == {state: ways for state, ways in NEXT.items() if ways}
    assert {state for state, ways in NEXT.items() if not ways} == ENDS
    assert set(NEXT) == set(Status)


def test_every_state_is_reached_and_every_live_one_can_end() -> None:
    """No island, no trap."""
    reached = {Status.QUEUED}
    while more := {after for state in reached for after in NEXT[state]} - reached:
        reached |= more
    assert reached == set(Status)
    for start in Status:
        seen = {start}
        while more := {after for state in seen for after in NEXT[state]} - seen:
            seen |= more
        assert seen & ENDS


async def try_to(store: JobStore, job: Job, before: Status, after: Status) -> bool:
    """Every method of the store that leads to `after`, on a job that is in `before`."""
    nonce = job.nonce or ""
    if after is Status.SUBMITTING:
        return await store.claim(job) is not None
    if after is Status.RUNNING and before is Status.QUEUED:
        return await store.adopt_forgotten(job, nonce=nonce, upstream_request_id="x")
    if after is Status.RUNNING:
        return await store.adopt(job, nonce=nonce, upstream_request_id="x", poll_ms=0)
    if after is Status.QUEUED:
        return await store.requeue(job, nonce=nonce, wait_ms=0)
    if after is Status.HELD:
        return await store.hold(job, nonce=nonce, reason="test")
    if after is Status.FINALIZING:
        return await store.complete_upstream(job, upstream_status="COMPLETED", logs=[])
    assert after in {Status.SUCCEEDED, Status.FAILED, Status.CANCELED}
    with suppress(ValueError):  # a way that is not in the graph is refused before it is sent
        return await store.end(job, (before,), after, charge=END_OF[after])
    return False


async def bring_to(hand: Hand, state: Status) -> Job:
    """A job in this state."""
    job_id = await hand.grant()
    job = await hand.job(job_id)
    path = {
        Status.QUEUED: [],
        Status.SUBMITTING: [Status.SUBMITTING],
        Status.HELD: [Status.SUBMITTING, Status.HELD],
        Status.RUNNING: [Status.SUBMITTING, Status.RUNNING],
        Status.FINALIZING: [Status.SUBMITTING, Status.RUNNING, Status.FINALIZING],
    }.get(state) or (
        [] if state is Status.QUEUED else [Status.SUBMITTING, Status.RUNNING, Status.FINALIZING, state]
    )
    for after in path:
        job = await hand.job(job_id)
        assert await try_to(hand.store, job, job.status, after)
    return await hand.job(job_id)


@pytest.fixture
async def hand() -> AsyncIterator[Hand]:
    """A gateway with a store of its own; fal is never called."""
    with RedisServer() as redis:
        async with (
            running_emulator("--no-clips") as emulator,
            open_stack(redis, emulator, FILMGATE_UPSTREAM_CONCURRENCY="1000") as stack,
        ):
            yield Hand(stack)


@pytest.mark.anyio
async def test_the_store_allows_what_the_graph_allows(hand: Hand) -> None:
    """All 64 pairs, on real jobs: a way in the graph is taken, any other is refused and changes nothing."""
    allowed = set()
    for before, after in product(Status, Status):
        job = await bring_to(hand, before)
        assert job.status is before
        record = await hand.redis.hgetall(keys.job(hand.ref(job.id)))
        if await try_to(hand.store, job, before, after):
            allowed.add((before, after))
        else:
            assert await hand.redis.hgetall(keys.job(hand.ref(job.id))) == record
    assert allowed == {(before, after) for before, ways in NEXT.items() for after in ways}
