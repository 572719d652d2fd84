"""Endpoints that hang, fail or are many delay no others."""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Scope
from app.domain.deliveries import (
    ATTEMPT_LEASE_MS,
    BREAKER_FAILURES,
    BREAKER_PAUSE_MS,
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_PER_HOST,
    MAX_IN_FLIGHT_PER_TEAM,
)
from app.domain.ids import split_ref
from app.store import keys
from app.store.deliveries import DESTINATION_RETRY_MS
from app.store.due import ENQUEUED_HIDDEN_MS
from tests.support.accounts import new_account
from tests.support.callers import calling
from tests.support.endpoints import acquired, change, deliveries, endpoint, later, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Received, Receiver, Reply
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from workers.deliver import deliver

pytestmark = pytest.mark.anyio

HANGING = 5
BOUND_S = 5.0


async def hangs(_: asyncio.StreamWriter) -> None:
    """Send nothing, as long as the caller waits."""
    await asyncio.sleep(60)


def delay_s(request: Received) -> float:
    """The time from the event to the arrival of its message, on one machine's clock."""
    event_at = datetime.fromisoformat(json.loads(request.body)["timestamp"])
    return request.at - event_at.timestamp()


@asynccontextmanager
async def another_chief(stack: Stack) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """Another team, and a client whose key submits and administers for it."""
    administration = stack.gateway.administration
    account = await new_account(administration, team_name="other", user_name="stranger")
    scopes = USER_SCOPES | {Scope.TEAM_ADMIN}
    made = await administration.add_key("test", user=account.user.id, scopes=scopes)
    async with calling(stack, made.key) as api:
        yield account.team.id, api


async def test_endpoints_that_hang_do_not_delay_the_others(
    stack: Stack,
    full: bool,  # noqa: FBT001  a fixture
    say: Callable[[str], None],
) -> None:
    """Five of fifteen hang (of fifty with --full) and one process delivers: p99 of the first attempts under 5 s."""
    healthy, events, pause_s = (45, 40, 1.5) if full else (10, 12, 0.5)
    async with Receiver() as well, Receiver() as ill, team_admin(stack) as api:
        ill.answers([hangs] * 5_000)
        for number in range(HANGING):
            await endpoint(api, f"{ill.url}/{number}", events=["job.queued"])
        for number in range(healthy):
            await endpoint(api, f"{well.url}/{number}", events=["job.queued"])
        async with stack.workers(FILMGATE_DELIVERERS="1"):
            for number in range(events):
                job = await stack.submit(f"a quiet lake {number}")
                await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
                await asyncio.sleep(pause_s)
            await well.wait_for(healthy * events, timeout=30)
        delays = sorted(map(delay_s, well.requests))
        p99 = statistics.quantiles(delays, n=100)[98]
        say(
            f"{len(delays)} first attempts beside {HANGING} endpoints that hang"
            f" ({len(ill.requests)} attempts there): median {statistics.median(delays):.3f} s,"
            f" p99 {p99:.3f} s, longest {delays[-1]:.3f} s"
        )
        assert p99 < BOUND_S
        assert len({request.headers["webhook-id"] for request in well.requests}) == healthy * events


async def test_another_teams_endpoints_that_hang_delay_nobody(stack: Stack) -> None:
    """Thirty of them with four events each, and one process delivers: first attempts elsewhere under 5 s."""
    async with Receiver() as well, team_admin(stack) as api, another_chief(stack) as (_, others):
        await endpoint(api, well.url, events=["job.queued"])
        async with stack.workers(FILMGATE_DELIVERERS="1"), Receiver() as ill:  # closed before the workers stop
            ill.answers([hangs] * 5_000)
            for number in range(30):
                await endpoint(others, f"{ill.url}/{number}", events=["job.queued"])
            for number in range(4):
                body = stack.body(f"a loud sea {number}")
                assert (await others.post("/v1/jobs", json=body)).status_code == 202
            await ill.wait_for(30)
            for number in range(3):
                await stack.submit(f"a quiet lake {number}")
                await well.wait_for(number + 1)
            assert max(map(delay_s, well.requests)) < BOUND_S
            assert len(ill.requests) < 60


async def canceled(pipeline: Pipeline, *, count: int = 1) -> None:
    """This many jobs that end at once, with an event each."""
    for _ in range(count):
        job_id = await pipeline.admit()
        assert await pipeline.store.cancel_queued(await pipeline.job(job_id))


async def test_one_destination_has_a_few_slots_and_never_all(pipeline: Pipeline, receiver: Receiver) -> None:
    """With twenty deliveries each, an endpoint and a job's URL get one slot, and four after a success."""
    async with team_admin(pipeline.stack) as api:
        made = [await endpoint(api, f"{receiver.url}/{number}") for number in range(2)]
        for number in range(20):
            job_id = await pipeline.admit(webhook_url=f"{receiver.url}/own?job={number}")
            await pipeline.store.cancel_queued(await pipeline.job(job_id))
    host = receiver.url.removeprefix("http://")
    wanted = {f"{pipeline.team}/{one['id']}" for one in made} | {f"{pipeline.team}/host:{host}"}
    first = await acquired(pipeline)
    assert Counter(destination.partition("#")[0] for _, destination in first) == dict.fromkeys(wanted, 1)
    assert await acquired(pipeline) == []
    for ref, destination in first:
        await deliver(pipeline.gateway, ref, destination=destination)
    again = Counter(destination.partition("#")[0] for _, destination in await acquired(pipeline))
    assert again == dict.fromkeys(wanted, MAX_IN_FLIGHT)
    assert await acquired(pipeline) == []


async def test_the_urls_of_one_host_share_slots(pipeline: Pipeline, receiver: Receiver) -> None:
    """A path for each of thirty jobs: eight at once, and each that ends is followed by another; none starves."""
    for number in range(30):
        job_id = await pipeline.admit(webhook_url=f"{receiver.url}/jobs/{number}")
        await pipeline.store.cancel_queued(await pipeline.job(job_id))
    first = await acquired(pipeline)
    assert len(first) == len({destination for _, destination in first}) == MAX_IN_FLIGHT_PER_HOST
    assert await acquired(pipeline) == []
    for ref, destination in first:
        await deliver(pipeline.gateway, ref, destination=destination)

    async def all_sent() -> bool:
        for ref, destination in await acquired(pipeline):
            await deliver(pipeline.gateway, ref, destination=destination)
        return len(receiver.requests) == 30

    await wait_until(all_sent, "every path was called", timeout=20)
    assert len({request.target for request in receiver.requests}) == 30


@asynccontextmanager
async def one_path_hangs() -> AsyncIterator[tuple[str, list[float]]]:
    """A host where `/hang` does not answer; when (s, monotonic) each other path was called."""
    called: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b" /hang " in head:
            with suppress(ConnectionError):
                await reader.read()
        else:
            called.append(time.monotonic())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", called


async def test_a_path_that_hangs_holds_up_no_other_path_of_its_host(stack: Stack) -> None:
    """Five jobs deliver to `/hang`, then two to `/ok2`: these arrive within seconds, with one process."""
    async with one_path_hangs() as (url, called), stack.workers(FILMGATE_DELIVERERS="1"):
        for path in ["/hang"] * 5 + ["/ok2"] * 2:
            job = await stack.submit(path, webhook_url=f"{url}{path}")
            await stack.api.post(f"/v1/jobs/{job['id']}/cancel")
        began = time.monotonic()
        await wait_until(lambda: len(called) == 2, "the other path is called", timeout=60)
        assert called[-1] - began < BOUND_S


async def test_one_team_never_has_all_slots(pipeline: Pipeline) -> None:
    """However many URLs it has: a round's other slots are for other teams, and its own follow later."""
    stack, count = pipeline.stack, MAX_IN_FLIGHT_PER_TEAM + 4
    async with team_admin(stack) as ours, another_chief(stack) as (team, theirs):
        for number in range(count):
            await endpoint(ours, f"https://ours.example/{number}")
        await endpoint(theirs, "https://theirs.example", events=["job.queued"])
        await canceled(pipeline)
        assert (await theirs.post("/v1/jobs", json=stack.body())).status_code == 202

    async def handed(busy: list[str]) -> Counter[str]:
        found = await pipeline.gateway.stores.deliveries.take(
            limit=100, handed_ms=ENQUEUED_HIDDEN_MS, hidden_ms=ATTEMPT_LEASE_MS, quick=False, busy=busy
        )
        return Counter(split_ref(ref)[0] for ref, _ in found)

    assert await handed([]) == {pipeline.team: MAX_IN_FLIGHT_PER_TEAM, team: 1}
    assert await handed([pipeline.team] * MAX_IN_FLIGHT_PER_TEAM) == {}
    found: Counter[str] = Counter()

    async def rest() -> bool:
        found.update(await handed([pipeline.team] * (MAX_IN_FLIGHT_PER_TEAM - 1)))
        return found.total() > 0

    await wait_until(rest, "they are looked at again")
    assert found == {pipeline.team: 1}


async def test_a_failed_or_slow_destination_has_one_slot(pipeline: Pipeline, receiver: Receiver) -> None:
    """Until it answers well and quickly; near its end, a round does not begin with it at all."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
    for answers in ([Reply(200, delay=2.1)], [500]):
        await canceled(pipeline)
        receiver.answers(answers)
        assert await sent(pipeline) == 1
        await canceled(pipeline, count=3)
        assert await acquired(pipeline, quick=True) == []
        await later(pipeline, made["id"], ms=DESTINATION_RETRY_MS)
        assert await sent(pipeline) == 1
        assert await sent(pipeline) == 2


async def test_ten_failures_open_the_breaker_and_a_probe_closes_it(pipeline: Pipeline, receiver: Receiver) -> None:
    """Then one attempt a minute; the others wait, keep their attempts, and go when one has arrived."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        await canceled(pipeline, count=BREAKER_FAILURES + 5)
        receiver.answers([500] * BREAKER_FAILURES)
        while await sent(pipeline):
            pass
        assert len(receiver.requests) == BREAKER_FAILURES
        untried = [one for one in await deliveries(pipeline, endpoint=made["id"]) if not one.attempts]
        assert (len(untried), await acquired(pipeline)) == (5, [])
        await canceled(pipeline)
        assert await acquired(pipeline) == []  # new ones wait too
        receiver.answers([500])
        await later(pipeline, made["id"], ms=BREAKER_PAUSE_MS)
        assert await sent(pipeline) == 1  # a probe, which fails
        assert await acquired(pipeline) == []
        await later(pipeline, made["id"], ms=BREAKER_PAUSE_MS)
        handed = await acquired(pipeline)
        assert (len(handed), await acquired(pipeline)) == (1, [])  # during a probe nothing else is sent
        await deliver(pipeline.gateway, handed[0][0], destination=handed[0][1])
        while await sent(pipeline):
            pass
    arrived = [one for one in await deliveries(pipeline, endpoint=made["id"]) if one.status == "delivered"]
    assert {len(one.attempts) for one in arrived if one.id in {first.id for first in untried}} <= {1, 2}
    assert await pipeline.redis.hgetall(keys.destination(f"{pipeline.team}/{made['id']}")) == {"good": "1"}


LET_GO_ON = [[{"url": "https://moved.example"}], [{"paused": True}, {"paused": False}]]


@pytest.mark.parametrize("changes", LET_GO_ON)
async def test_an_edit_neither_closes_the_breaker_nor_forgets_failures(
    pipeline: Pipeline, receiver: Receiver, changes: list[dict[str, Any]]
) -> None:
    """Nor does a new secret: only a different URL does, or being enabled again."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        await canceled(pipeline, count=BREAKER_FAILURES + 1)
        receiver.answers([500] * BREAKER_FAILURES)
        while await sent(pipeline):
            pass
        state = keys.destination(f"{pipeline.team}/{made['id']}")
        before = await pipeline.redis.hgetall(state)
        assert before["failures"] == str(BREAKER_FAILURES)
        await change(api, made["id"], description="the shop", paused=False, url=receiver.url)
        assert (await api.post(f"/v1/webhook-endpoints/{made['id']}/rotate-secret")).status_code == 200
        assert (await pipeline.redis.hgetall(state), await acquired(pipeline)) == (before, [])
        for wanted in changes:
            await change(api, made["id"], **wanted)
        assert await pipeline.redis.exists(state) == 0
        assert len(await acquired(pipeline)) == 1


async def test_any_answer_is_a_sign_of_life_of_a_host(pipeline: Pipeline, receiver: Receiver) -> None:
    """A wrong path at a host that many jobs use does not stop the others there."""
    receiver.answers([404] * (BREAKER_FAILURES + 1))
    for _ in range(BREAKER_FAILURES + 1):
        job_id = await pipeline.admit(webhook_url=f"{receiver.url}/wrong")
        await pipeline.store.cancel_queued(await pipeline.job(job_id))
        assert await sent(pipeline) == 1


async def test_a_dead_workers_delivery_is_acquired_again(pipeline: Pipeline, receiver: Receiver) -> None:
    """Its slot and its delivery become free by themselves, and both are counted once."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
    await canceled(pipeline)
    assert await sent(pipeline) == 1
    await canceled(pipeline, count=MAX_IN_FLIGHT + 1)
    ((ref, destination), *_) = await acquired(pipeline)
    assert await pipeline.gateway.stores.quarantine.acquire(
        "deliver", ref, hidden_ms=ATTEMPT_LEASE_MS, destination=destination
    )
    assert await acquired(pipeline) == []
    await later(pipeline, made["id"], ms=ATTEMPT_LEASE_MS)
    while await sent(pipeline):
        pass
    assert len(receiver.requests) == 1 + MAX_IN_FLIGHT + 1


@pytest.mark.timeout(600)
async def test_kills_of_the_delivering_process_lose_nothing(
    stack: Stack,
    full: bool,  # noqa: FBT001  a fixture
) -> None:
    """Repeated SIGKILL during a hundred deliveries, a thousand with --full: each arrives at least once."""
    jobs, endpoints, kills = (100, 10, 12) if full else (20, 5, 2)
    pipeline = Pipeline(stack)
    async with Receiver() as receiver, team_admin(stack) as api:
        receiver.answers([Reply(200, {"Connection": "close"}, delay=0.05)] * 100_000)
        urls = [f"{receiver.url}/{number}" for number in range(endpoints)]
        ids = [(await endpoint(api, url, events=["job.canceled"]))["id"] for url in urls]
        await canceled(pipeline, count=jobs)
        async with stack.workers(FILMGATE_DELIVERERS="2") as workers:
            for number in range(kills):
                await receiver.wait_for((number + 1) * jobs * endpoints // (kills + 2), timeout=120)
                workers.kill_children("deliveries")
                for endpoint_id in ids:  # the killed process's deliveries stay hidden for 20 s; make them due now
                    await later(pipeline, endpoint_id, ms=ATTEMPT_LEASE_MS)

            async def all_arrived() -> bool:
                for step, ref, _ in await stack.gateway.stores.quarantine.steps():
                    await stack.gateway.stores.quarantine.release(step, ref)
                return not await pipeline.due("deliver")

            await wait_until(all_arrived, "every delivery has ended", timeout=400, interval=0.5)
        written = await deliveries(pipeline, count=jobs * endpoints + 1)
        assert {one.status for one in written} == {"delivered"}
        arrived = {request.headers["webhook-id"] for request in receiver.requests}
        assert {one.id for one in written} == arrived
        assert len(arrived) == jobs * endpoints
