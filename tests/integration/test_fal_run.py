"""fal's synchronous call: open until the end; a caller who disconnects loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.domain.accounts import Reposts
from tests.integration.fal_queue import MODEL, given
from tests.support.pipeline import Pipeline
from tests.support.server import running_server
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio
RUN = f"/fal/run/{MODEL}"


@asynccontextmanager
async def held(stack: Stack, prompt: str, **more: str) -> AsyncIterator[tuple[asyncio.Task[httpx.Response], str]]:
    """An open call, and its job's id."""
    known = {job["id"] for job in (await stack.api.get("/v1/jobs")).json()["data"]}
    calling = asyncio.create_task(stack.api.post(RUN, json=given(stack, prompt), headers=more, timeout=60))

    async def admitted() -> str | None:
        found = {job["id"] for job in (await stack.api.get("/v1/jobs")).json()["data"]} - known
        return found.pop() if found else None

    job_id = await wait_until(admitted, "the job is admitted")
    assert job_id is not None
    try:
        yield calling, job_id
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def test_a_call_is_answered_with_the_output(stack: Stack, pipeline: Pipeline) -> None:
    """200 and the bare output, with the job's id in the header."""
    async with held(stack, "run") as (calling, job_id):
        await pipeline.to(job_id, "succeeded")
        reply = await asyncio.wait_for(calling, 10)
    assert (reply.status_code, reply.json()) == (200, (await stack.job(job_id))["output"])
    assert reply.headers["x-fal-request-id"] == job_id


async def test_a_call_ends_with_the_error_of_the_result(stack: Stack, pipeline: Pipeline) -> None:
    """A model's 422 is the call's status."""
    async with held(stack, "[emu:422_content_policy] run") as (calling, job_id):
        await pipeline.to(job_id, "succeeded")
        reply = await asyncio.wait_for(calling, 10)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["type"] == "content_policy_violation"


async def test_a_cancelled_call_ends_at_once(stack: Stack, pipeline: Pipeline) -> None:
    """Cancelled while it runs: 499 within seconds, although fal has not ended."""
    async with held(stack, "[emu:slow] run") as (calling, job_id):
        await pipeline.gateway.stores.slots.grant()
        await pipeline.submit(job_id)
        assert (await stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
        reply = await asyncio.wait_for(calling, 5)
    assert (reply.status_code, reply.json()["error_type"]) == (499, "client_cancelled")
    await pipeline.write(job_id, deadline_ms=1)


async def test_with_strict_a_call_sent_again_holds_for_the_same_job(stack: Stack, pipeline: Pipeline) -> None:
    """Both get the same output; after that, the same call is a new request."""
    team = stack.account.team.id
    await stack.gateway.administration.change_team("test", team, reposts=Reposts.STRICT)
    async with held(stack, "twice") as (calling, job_id):
        again = asyncio.create_task(stack.api.post(RUN, json=given(stack, "twice"), timeout=60))
        await asyncio.sleep(0)
        await pipeline.to(job_id, "succeeded")
        replies = [await asyncio.wait_for(one, 10) for one in (calling, again)]
    assert {reply.headers["x-fal-request-id"] for reply in replies} == {job_id}
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 1
    async with held(stack, "twice") as (_, other):
        assert other != job_id


async def test_a_caller_who_leaves_loses_nothing(stack: Stack, pipeline: Pipeline, tmp_path: Path) -> None:
    """The job goes on, the server stops waiting, and the same call finds the clip that was made meanwhile."""
    body = json.dumps(given(stack, "left")).encode()
    log = tmp_path / "log"

    async def noticed() -> bool:
        return '"status":499' in (await asyncio.to_thread(log.read_text)).replace(" ", "")

    async with running_server(stack.environment, log=log) as server:
        head = (
            f"POST {RUN} HTTP/1.1\r\nHost: x\r\nAuthorization: Key {stack.account.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode() + body)
        await writer.drain()

        async def admitted() -> str | None:
            jobs = (await stack.api.get("/v1/jobs")).json()["data"]
            return str(jobs[0]["id"]) if jobs else None

        job_id = await wait_until(admitted, "the job is admitted")
        assert job_id is not None
        assert not await noticed()
        writer.close()
        await wait_until(noticed, "the server has stopped to wait", timeout=10)
        await pipeline.to(job_id, "succeeded")
        headers = {"Authorization": f"Key {stack.account.key}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
            reply = await client.post(RUN, content=body, timeout=10)
        assert (reply.status_code, reply.headers["x-fal-request-id"]) == (200, job_id)
        assert reply.headers["idempotent-replayed"] == "true"


async def test_a_call_that_cannot_be_admitted_is_refused_at_once(stack: Stack) -> None:
    """A wrong input, an unknown model."""
    assert (await stack.api.post(RUN, json={"prompt": "x"})).status_code == 422
    assert (await stack.api.post("/fal/run/fal-ai/no/such", json={})).status_code == 404
