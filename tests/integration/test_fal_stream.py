"""The status stream of the fal-compatible API, over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.integration import fal_queue
from tests.integration.fal_queue import path_of
from tests.support.callers import another_key
from tests.support.pipeline import Pipeline
from tests.support.server import Server, running_server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(stack: Stack) -> AsyncIterator[Server]:
    """An API process on the stack's store."""
    async with running_server(stack.environment) as running:
        yield running


async def lines_of(server: Server, key: str, request_id: str, **params: str) -> AsyncIterator[str]:
    """The stream's lines; the reply's headers are checked on the way."""
    headers = {"Authorization": f"Key {key}", "Accept": "application/json, text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=20) as client,
        client.stream("GET", path_of(request_id, "/status/stream"), params=params) as reply,
    ):
        assert (reply.status_code, reply.headers["x-fal-request-id"]) == (200, request_id)
        assert reply.headers["content-type"].startswith("text/event-stream")
        async for line in reply.aiter_lines():
            yield line


async def test_the_stream_tells_each_state_and_closes(stack: Stack, pipeline: Pipeline, server: Server) -> None:
    """Only `data:` frames; each has only new log lines; closed after COMPLETED."""
    request_id = (await fal_queue.submitted(stack, "[emu:logs_burst:50] stream"))["request_id"]
    seen: list[dict[str, Any]] = []
    pushed = False
    async for line in lines_of(server, stack.account.key, request_id, logs="1"):
        assert line == "" or line.startswith(("data: ", ": ping")), line
        if not line.startswith("data: "):
            continue
        seen.append(json.loads(line.removeprefix("data: ")))
        if not pushed:
            pushed = True
            await pipeline.to(request_id, "succeeded")
    words = [one["status"] for one in seen]
    assert (words[0], words[-1], words.count("COMPLETED")) == ("IN_QUEUE", "COMPLETED", 1)
    messages = [log["message"] for one in seen for log in one["logs"]]
    assert messages == [log["message"] for log in (await stack.job(request_id))["logs"]]
    assert messages


async def test_the_stream_ends_when_its_key_does(stack: Stack, server: Server) -> None:
    """A revoked key closes it within seconds."""
    request_id = (await fal_queue.submitted(stack))["request_id"]
    made = await another_key(stack)
    count = 0
    async with asyncio.timeout(10):
        async for line in lines_of(server, made.key, request_id):
            if line.startswith("data: "):
                count += 1
                assert '"logs": null' in line
                await stack.gateway.administration.revoke_key("test", made.record.id)
    assert count == 1


async def test_a_cancelled_request_ends_its_stream(stack: Stack, pipeline: Pipeline, server: Server) -> None:
    """Even if fal has not ended it."""
    request_id = (await fal_queue.submitted(stack, "[emu:slow] stream"))["request_id"]
    await pipeline.gateway.stores.slots.grant()
    await pipeline.submit(request_id)
    last: dict[str, Any] = {}
    async with asyncio.timeout(10):
        async for line in lines_of(server, stack.account.key, request_id):
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
                if last["status"] == "IN_PROGRESS":
                    assert (await fal_queue.cancel(stack, request_id)).status_code == 202
    assert (last["status"], last["error_type"]) == ("COMPLETED", "client_cancelled")
