"""An equal request is a new one, unless the answer to an earlier one may be lost (docs/decisions/0016)."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.domain.accounts import Reposts
from app.domain.limits import Limit, Unit, Window
from app.services.fal_compat import FalRequest
from app.store import keys
from tests.integration import fal_queue
from tests.integration.fal_queue import MODEL, given
from tests.support.callers import another_key
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.redis_server import RedisServer
from tests.support.server import Server, running_server
from tests.support.stack import Stack, environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
QUEUE, RUN = f"/fal/queue/{MODEL}", f"/fal/run/{MODEL}"


@pytest.fixture(scope="module")
async def other(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Server]:
    """A second API process on the same store."""
    async with running_server(environment(redis_server, emulator)) as running:
        yield running


async def key_with(stack: Stack, rule: str | None) -> str:
    """A key of the stack's user with this rule."""
    return (await another_key(stack, reposts=None if rule is None else Reposts(rule))).key


@asynccontextmanager
async def calling(server: Server, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with connections of its own."""
    headers = {"Authorization": f"Key {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


async def jobs_of(stack: Stack, prompt: str) -> list[str]:
    """The ids of the jobs with this prompt."""
    jobs = (await stack.api.get("/v1/jobs", params={"limit": 100})).json()["data"]
    return [job["id"] for job in jobs if job["input"]["prompt"] == prompt]


def raw_request(stack: Stack, path: str, prompt: str) -> bytes:
    """The bytes of a request."""
    body = json.dumps(given(stack, prompt)).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Key {stack.account.key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def assert_repeat(server: Server, stack: Stack, prompt: str, *, path: str = QUEUE) -> str:
    """An equal request finds the one job; its id."""
    async with calling(server, stack.account.key) as client:
        reply = await client.post(path, json=given(stack, prompt))
    (job_id,) = await jobs_of(stack, prompt)
    assert (reply.status_code, reply.headers["x-fal-request-id"]) == (200, job_id)
    return job_id


# --- four equal requests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "clips"), [(None, 4), ("answered", 4), ("strict", 1), ("never", 4)])
async def test_four_at_once(stack: Stack, server: Server, other: Server, rule: str | None, clips: int) -> None:
    """On connections of their own to one process, and to two processes; a repeat says that it is one."""
    key = await key_with(stack, rule)
    for number, servers in enumerate([(server,) * 4, (server, other) * 2]):
        prompt = f"at once {number}"

        async def one(to: Server, prompt: str = prompt) -> httpx.Response:
            async with calling(to, key) as client:
                return await client.post(QUEUE, json=given(stack, prompt))

        replies = await asyncio.gather(*map(one, servers))
        assert {reply.status_code for reply in replies} == {200}
        assert len({reply.json()["request_id"] for reply in replies}) == clips
        assert sum("idempotent-replayed" not in reply.headers for reply in replies) == clips
        assert len(await jobs_of(stack, prompt)) == clips


@pytest.mark.parametrize(("rule", "clips"), [(None, 4), ("strict", 1), ("never", 4)])
async def test_four_in_turn(stack: Stack, server: Server, other: Server, rule: str | None, clips: int) -> None:
    """On one kept connection; then the next ones to two processes in turn. None is polled."""
    key = await key_with(stack, rule)
    async with calling(server, key) as client, calling(other, key) as elsewhere:
        for number, callers in enumerate([(client,) * 4, (client, elsewhere) * 2]):
            for caller in callers:
                assert (await caller.post(QUEUE, json=given(stack, f"turn {number}"))).status_code == 200
            assert len(await jobs_of(stack, f"turn {number}")) == clips


async def test_takes_under_names_are_told_apart_by_these(stack: Stack, server: Server) -> None:
    """An Idempotency-Key decides, whatever the rule: the same name is the same job."""
    for rule in Reposts:
        async with calling(server, await key_with(stack, rule)) as client:
            for name in ("take 1", "take 2", "take 2"):
                await client.post(QUEUE, json=given(stack, rule), headers={"Idempotency-Key": f"{rule} {name}"})
        assert len(await jobs_of(stack, rule)) == 2


# --- an answer that was lost -------------------------------------------------------------------------------------


@asynccontextmanager
async def sent(stack: Stack, server: Server, path: str, prompt: str) -> AsyncIterator[socket.socket]:
    """A connection with a request, of whose answer nothing is read; closed at the end of the block."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(connection, raw_request(stack, path, prompt))
        yield connection


async def admitted(stack: Stack, prompt: str, *, jobs: int = 1) -> list[str]:
    """The ids of the jobs with this prompt, once there are so many."""

    async def enough() -> list[str]:
        found = await jobs_of(stack, prompt)
        return found if len(found) >= jobs else []

    return list(await wait_until(enough, f"{prompt} is admitted", timeout=15) or ())


@pytest.mark.parametrize("read", [None, 0, 40])
async def test_a_caller_who_left_gets_the_same_job(
    stack: Stack, server: Server, other: Server, read: int | None
) -> None:
    """Left after so many bytes of the answer (None: without waiting for it), at any moment of its way."""
    for number, pause in enumerate((0, 0.002, 0.005, 0.02, 0.1)):
        prompt = f"left {read} {number}"
        async with sent(stack, server, QUEUE, prompt) as connection:
            if read is not None:
                await admitted(stack, prompt)
            if read:
                await asyncio.get_running_loop().sock_recv(connection, read)
            await asyncio.sleep(pause)
        await assert_repeat(other if number == 4 else server, stack, prompt)
        async with calling(server, stack.account.key) as client:  # that answer has arrived: this is another take
            assert "idempotent-replayed" not in (await client.post(QUEUE, json=given(stack, prompt))).headers


@pytest.mark.parametrize("rule", ["answered", "strict"])
async def test_a_killed_process_leaves_one_job(stack: Stack, server: Server, tmp_path: Path, rule: str) -> None:
    """It dies between admission and answer; the equal request finds its job, in another process."""
    team = stack.account.team.id
    await stack.gateway.administration.change_team("test", team, reposts=Reposts(rule))
    (tmp_path / "admit.after.0").write_text("9 0")
    async with running_server({**stack.environment, "FILMGATE_CRASH": str(tmp_path)}) as dying:
        with pytest.raises(httpx.TransportError):
            async with calling(dying, stack.account.key) as client:
                await client.post(QUEUE, json=given(stack, rule))
        await assert_repeat(server, stack, rule)


async def test_a_held_call_is_one_job_for_each_caller_who_waits(
    stack: Stack, server: Server, other: Server
) -> None:
    """Two callers at two processes wait for two clips; one who left and calls again waits for the first."""
    async with sent(stack, server, RUN, "held"):
        (first,) = await admitted(stack, "held")
        async with sent(stack, server, RUN, "held"), sent(stack, other, RUN, "held"):
            assert len(await admitted(stack, "held", jobs=3)) == 3
            await cancelled(stack, set(await jobs_of(stack, "held")) - {first})
    async with calling(other, stack.account.key) as client:
        again = asyncio.create_task(client.post(RUN, json=given(stack, "held")))
        await cancelled(stack, {first})
        reply = await again
    assert (reply.headers["x-fal-request-id"], reply.headers.get("idempotent-replayed")) == (first, "true")
    assert len(await jobs_of(stack, "held")) == 3


async def cancelled(stack: Stack, jobs: set[str]) -> None:
    """End these jobs."""
    for job_id in jobs:
        assert (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202


async def test_a_repeat_that_fits_in_the_line_is_no_second_in_it(stack: Stack) -> None:
    """A queue that the lost request's own job makes too long; a limit that it used up."""
    params = {"fal_max_queue_length": "0"}
    caller = await stack.gateway.accounts.authenticate(stack.account.key)
    request = FalRequest(MODEL, given(stack, "alone"), max_queue=0)
    lost = await stack.gateway.fal_compat.submit(
        caller, request, surface="queue", idempotency_key=None, trace_id="lost"
    )
    limits = [Limit(Unit.JOBS, Window.TOTAL, 1)]
    await stack.gateway.limits.replace("test", stack.account.team.id, limits)
    assert (await fal_queue.submitted(stack, "alone", params=params))["request_id"] == lost.job.id
    assert (await fal_queue.post(stack, "alone")).status_code == 403


async def test_an_outage_is_503_where_the_client_would_buy_again(fragile: Stack) -> None:
    """With `never`, a client's own retry is a new job, so it is not invited to one."""
    team = fragile.account.team.id
    await fragile.gateway.administration.change_team("test", team, reposts=Reposts.NEVER)
    await fal_queue.submitted(fragile)
    fragile.redis.kill()
    assert (await fal_queue.post(fragile)).status_code == 503
    fragile.redis.start()


async def test_nothing_is_remembered_of_an_answer_that_arrived(stack: Stack, pipeline: Pipeline) -> None:
    """Neither beside the job nor in it."""
    request_id = (await fal_queue.submitted(stack, "done"))["request_id"]

    async def forgotten() -> bool:
        return not [name async for name in pipeline.redis.scan_iter(keys.PREFIX + "answers:*")]

    await wait_until(forgotten, "the answer is recorded")
    assert not any("repost" in name for name in await pipeline.redis.hgetall(keys.job(pipeline.ref(request_id))))
