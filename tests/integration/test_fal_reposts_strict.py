"""With `strict`, an equal request is a repeat until its job was answered and polled (docs/decisions/0016)."""

import asyncio
import json

import httpx
import pytest

from app.domain.accounts import USER_SCOPES, Reposts, Scope
from app.domain.jobs import Charge, JobError, Priority, Status
from app.domain.limits import Limit, Unit, Window
from app.services.fal_compat import DEDUP_MS, FalRequest
from app.store import keys
from tests.integration import fal_queue
from tests.integration.fal_queue import MODEL, given
from tests.support.callers import another_key, calling, colleague, stranger, token
from tests.support.endpoints import acquired
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver
from tests.support.server import running_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from workers.deliver import deliver

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def strict(stack: Stack) -> None:
    """The rule of every key of the team."""
    team = stack.account.team.id
    await stack.gateway.administration.change_team("test", team, reposts=Reposts.STRICT)


async def job_count(stack: Stack) -> int:
    """How many jobs the caller has."""
    return len((await stack.api.get("/v1/jobs")).json()["data"])


async def unanswered(stack: Stack, prompt: str) -> str:
    """A job whose answer was never sent: its process died between admission and answer."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    request = FalRequest(MODEL, given(stack, prompt), priority=Priority.NORMAL)
    accepted = await stack.gateway.fal_compat.submit(
        caller, request, surface="queue", idempotency_key=None, trace_id="dead"
    )
    return accepted.job.id


async def test_a_repost_is_the_same_job(stack: Stack, pipeline: Pipeline) -> None:
    """200, the same id, the current job; marked as a repeat; the money is reserved once."""
    first = await fal_queue.post(stack, "once")
    await pipeline.bought("another")
    again = await fal_queue.post(stack, "once")
    assert (again.status_code, again.json()["request_id"]) == (200, first.json()["request_id"])
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert await job_count(stack) == 2
    assert (await pipeline.money())[0] == 2 * 1_400_000


async def test_two_takes_are_two_jobs_once_the_first_was_polled(stack: Stack) -> None:
    """Answered and polled by its id: an identical submission within the same second is a new job."""
    first = await fal_queue.submitted(stack, "take")
    assert (await fal_queue.status(stack, first["request_id"])).status_code == 202
    second = await fal_queue.submitted(stack, "take")
    assert second["request_id"] != first["request_id"]
    third = await fal_queue.submitted(stack, "take")
    assert third["request_id"] == second["request_id"]
    assert await job_count(stack) == 2


@pytest.mark.parametrize("how", ["status", "result", "cancel"])
async def test_any_request_by_the_id_is_a_poll(stack: Stack, how: str) -> None:
    """A request with the id shows that the answer was read."""
    first = await fal_queue.submitted(stack, how)
    ask = {"status": fal_queue.status, "result": fal_queue.result, "cancel": fal_queue.cancel}[how]
    await ask(stack, first["request_id"])
    assert (await fal_queue.submitted(stack, how))["request_id"] != first["request_id"]


@pytest.mark.parametrize("how", ["cancelled", "erased"])
async def test_what_is_done_on_the_native_api_counts_too(stack: Stack, how: str) -> None:
    """A caller who cancels or erases a job at /v1 has its id; an identical submission is then a new job."""
    first = (await fal_queue.submitted(stack, how))["request_id"]
    assert (await stack.api.post(f"/v1/jobs/{first}/cancel")).status_code == 202
    if how == "erased":
        assert (await stack.api.delete(f"/v1/jobs/{first}")).status_code == 204
    assert (await fal_queue.submitted(stack, how))["request_id"] != first


async def test_what_an_administrator_cancels_is_not_bought_by_a_repost(stack: Stack) -> None:
    """Its caller has not read the id: the client that sends the request again gets the job that was cancelled."""
    first = (await fal_queue.submitted(stack, "stopped"))["request_id"]
    await stack.gateway.operations.cancel("test", first)
    again = await fal_queue.post(stack, "stopped")
    assert again.json()["request_id"] == first
    assert await job_count(stack) == 1


async def test_what_a_colleague_cancels_is_not_bought_by_a_repost(stack: Stack) -> None:
    """A colleague who may control the team's jobs has the id from the team's list, not from this answer."""
    first = (await fal_queue.submitted(stack, "theirs"))["request_id"]
    admin = await colleague(stack, scopes=USER_SCOPES | {Scope.TEAM_ADMIN})
    async with calling(stack, admin.key) as api:
        assert (await api.post(f"/v1/jobs/{first}/cancel")).status_code == 202
    assert (await fal_queue.post(stack, "theirs")).json()["request_id"] == first


async def test_a_webhook_that_arrived_tells_the_id(pipeline: Pipeline, receiver: Receiver) -> None:
    """A refused webhook does not; after an accepted one, the same request is a new job."""
    receiver.answers([500, 200])
    params = {"fal_webhook": receiver.url}
    first = (await fal_queue.submitted(pipeline.stack, "told", params=params))["request_id"]
    job, error = await pipeline.job(first), JobError("upstream_error", "It failed at fal.", retryable=True)
    assert await pipeline.store.end(job, (Status.QUEUED,), Status.FAILED, charge=Charge.RELEASE, error=error)
    for wanted in (True, False):
        ((ref, destination),) = await acquired(pipeline)
        await deliver(pipeline.gateway, ref, destination=destination)
        again = (await fal_queue.submitted(pipeline.stack, "told", params=params))["request_id"]
        assert (again == first) is wanted
        await pipeline.redis.zadd(keys.waiting(destination), {ref: 0}, xx=True)
        await pipeline.redis.zadd(keys.due("deliver"), {destination: 0})


async def test_a_repost_after_a_lost_answer_is_never_a_second_purchase(stack: Stack) -> None:
    """The process died before it answered: the job is found again, even if another client polled it meanwhile."""
    job_id = await unanswered(stack, "lost")
    await fal_queue.status(stack, job_id)
    again = await fal_queue.post(stack, "lost")
    assert again.json()["request_id"] == job_id
    assert await job_count(stack) == 1
    assert (await fal_queue.submitted(stack, "lost"))["request_id"] != job_id  # that answer was sent, and polled


async def test_a_poll_that_comes_before_the_answer_is_noted_counts(stack: Stack) -> None:
    """The order of the two does not matter."""
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    request = FalRequest(MODEL, given(stack, "order"))
    accepted = await stack.gateway.fal_compat.submit(
        caller, request, surface="queue", idempotency_key=None, trace_id="order"
    )
    await fal_queue.status(stack, accepted.job.id)
    await stack.gateway.fal_compat.record_reply(accepted, whole=True, watch=lambda _: None)
    assert (await fal_queue.submitted(stack, "order"))["request_id"] != accepted.job.id


async def test_reposts_at_the_same_time_are_one_job(stack: Stack) -> None:
    """Ten at once, as after a broken connection."""
    replies = await asyncio.gather(*(fal_queue.post(stack, "at once") for _ in range(10)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["request_id"] for reply in replies}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1


CHANGES = [
    {"json": {"seed": 1}},
    {"params": {"fal_webhook": "https://example.com/hook"}},
    {"headers": {"X-Fal-Queue-Priority": "low"}},
    {"headers": {"X-Fal-Request-Timeout": "30.0"}},
    {"headers": {"X-Filmgate-New": "1"}},
    {"headers": {"Idempotency-Key": "second"}},
]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_differs_is_another_job(stack: Stack, change: dict[str, dict[str, object]]) -> None:
    """Body (a dropped field too), webhook, a header that changes the job, and the two that force a new one."""
    first = await fal_queue.submitted(stack, "differs")
    if "json" in change:
        change = {"json": {**given(stack, "differs"), **change["json"]}}
    assert (await fal_queue.submitted(stack, "differs", **change))["request_id"] != first["request_id"]


async def test_headers_that_change_nothing_make_no_difference(stack: Stack) -> None:
    """A hint, no retries, the default priority."""
    first = await fal_queue.submitted(stack, "hints")
    headers = {"X-Fal-Runner-Hint": "h", "X-Fal-No-Retry": "1", "X-Fal-Queue-Priority": "normal"}
    assert (await fal_queue.submitted(stack, "hints", headers=headers))["request_id"] == first["request_id"]


async def test_no_other_callers_request_is_a_repeat(stack: Stack) -> None:
    """Another user's, team's or browser token's; another key of the same user is the same caller."""
    first = (await fal_queue.submitted(stack, "whose"))["request_id"]
    body = given(stack, "whose")
    tokens = [(await token(stack.api))["token"] for _ in range(2)]
    found = []
    for key in (*tokens, (await colleague(stack)).key, await stranger(stack)):
        async with calling(stack, key) as api:
            found.append((await api.post(f"/fal/queue/{MODEL}", json=body)).json()["request_id"])
    assert len({first, *found}) == 5
    async with calling(stack, (await another_key(stack)).key) as api:
        assert (await api.post(f"/fal/queue/{MODEL}", json=body)).json()["request_id"] == first


async def test_a_repost_works_over_every_limit(stack: Stack) -> None:
    """The limit that the first submission used up, and the line that the job itself makes too long."""
    params = {"fal_max_queue_length": "0"}
    first = await fal_queue.submitted(stack, "limited", params=params)
    limits = [Limit(Unit.JOBS, Window.TOTAL, 1), Limit(Unit.SUBMITS, Window.HOUR, 0)]
    await stack.gateway.limits.replace("test", stack.account.team.id, limits)
    again = await fal_queue.post(stack, "limited", params=params)
    assert (again.status_code, again.json()["request_id"]) == (200, first["request_id"])
    assert (await fal_queue.post(stack, "another")).status_code == 403


async def test_a_key_of_the_callers_own_counts_and_stays(stack: Stack) -> None:
    """As on the native API: even after polls; a different body is 422."""
    headers = {"Idempotency-Key": "mine"}
    first = await fal_queue.submitted(stack, "mine", headers=headers)
    await fal_queue.status(stack, first["request_id"])
    assert (await fal_queue.submitted(stack, "mine", headers=headers))["request_id"] == first["request_id"]
    other = await fal_queue.post(stack, "other", headers=headers)
    assert (other.status_code, other.json()["detail"][0]["loc"]) == (422, ["header", "idempotency-key"])


async def test_the_record_of_a_request_ends_by_itself(stack: Stack, pipeline: Pipeline) -> None:
    """After 150 s; at once when the job was answered and polled."""
    request_id = (await fal_queue.submitted(stack, "ends"))["request_id"]
    names = [name async for name in pipeline.redis.scan_iter(keys.PREFIX + "idem:*")]
    assert len(names) == 1
    assert 0 < await pipeline.redis.pttl(names[0]) <= DEDUP_MS
    await fal_queue.status(stack, request_id)
    assert not await pipeline.redis.exists(names[0])
    record = await pipeline.redis.hgetall(keys.job(pipeline.ref(request_id)))
    assert not {"repost", "repost_answered", "repost_polled"} & record.keys()


async def test_a_caller_who_left_before_the_answer_gets_the_same_job(stack: Stack, pipeline: Pipeline) -> None:
    """Over real connections, closed once the request is sent or before its answer is read; then a complete one."""
    body = json.dumps(given(stack, "dropped")).encode()
    async with running_server(stack.environment) as server:
        head = (
            f"POST /fal/queue/{MODEL} HTTP/1.1\r\nHost: x\r\nAuthorization: Key {stack.account.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )

        async def sent() -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head.encode() + body)
            await writer.drain()
            return writer

        for _ in range(9):  # a server that sees the close before it has read the request does not admit it
            (await sent()).close()
        last = await sent()

        async def admitted() -> bool:
            return await job_count(stack) > 0

        await wait_until(admitted, "the job is admitted")
        last.close()
        headers = {"Authorization": f"Key {stack.account.key}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
            reply = await client.post(f"/fal/queue/{MODEL}", content=body)
            assert (reply.status_code, reply.headers["idempotent-replayed"]) == (200, "true")
            request_id = reply.json()["request_id"]

            async def forgotten() -> bool:  # written just after the answer was sent
                await client.get(fal_queue.path_of(request_id, "/status"))
                return not [name async for name in pipeline.redis.scan_iter(keys.PREFIX + "idem:*")]

            await wait_until(forgotten, "the first take is no repeat any more")
            other = await client.post(f"/fal/queue/{MODEL}", content=body)
            assert other.json()["request_id"] != request_id
    assert await job_count(stack) == 2
