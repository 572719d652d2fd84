"""fal's key is known only to the gateway and fal: after a whole run with errors it is found nowhere else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.errors import UpstreamUnavailable
from tests.support.emulator import Emulator, running_emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import EMULATOR_KEY, open_stack

pytestmark = pytest.mark.anyio

SECRET = EMULATOR_KEY.encode()
TROUBLE = (
    "ok",
    "submit_500",
    "submit_garbage",
    "drop_after_accept",
    "evil_status_url",
    "422_image_load",
    "500_downstream",
    "503_runner_disconnected",
    "result_expired",
    "result_no_url",
    "401:1",
)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A separate fal that accepts only this key."""
    fast = ("--queue-seconds", "0.05", "--run-seconds", "0.05")
    async with running_emulator(*fast, "--no-clips", "--key", EMULATOR_KEY) as running:
        yield running


async def everything_in(url: str) -> bytes:
    """Every key and value of the store, including RQ's, as raw bytes."""
    found = bytearray()
    async with Redis.from_url(url) as redis:
        kinds: dict[Any, Any] = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"list": lambda name: redis.lrange(name, 0, -1),
            b"set": redis.smembers,
            b"zset": lambda name: redis.zrange(name, 0, -1),
            b"stream": redis.xrange,
        }
        async for name in redis.scan_iter(count=1000):
            value = await kinds[await redis.type(name)](name)
            found += name + b"\n" + repr(value).encode() + b"\n"
    return bytes(found)


async def test_fals_key_is_in_no_reply_log_store_or_message(
    emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every kind of fault once, with real workers and webhooks; then everything that was written is searched."""
    replies = bytearray()
    with RedisServer() as redis:
        async with Receiver() as receiver, open_stack(redis, emulator) as stack:

            async def keep(reply: Any) -> None:
                await reply.aread()
                replies.extend(repr(reply.headers).encode() + reply.content)

            stack.api.event_hooks["response"].append(keep)
            pipeline = Pipeline(stack)
            ids = [await pipeline.admit(f"[emu:{tag}]", webhook_url=receiver.url) for tag in TROUBLE]
            async with stack.workers():
                for job_id in ids[:-1]:
                    await stack.until(job_id, "succeeded", "failed", "held", timeout=40)
                await receiver.wait_for(len(ids) - 1, timeout=30)
            for path in ("/v1/me", "/v1/jobs", "/readyz", "/v1/models", "/openapi.json", "/v1/jobs/job_unknown"):
                await stack.api.get(path)
            for job_id in ids:
                await stack.api.get(f"/v1/jobs/{job_id}/deliveries")
            messages = b"".join(repr(request).encode() for request in receiver.requests)
            stored = await everything_in(redis.url)
    out, err = capfd.readouterr()
    logs = (out + err).encode()
    assert b"job.held" in logs  # so the workers' logs are part of the search
    assert all(json.loads(request.body)["data"]["id"] in ids for request in receiver.requests)
    for name, written in (("replies", replies), ("logs", logs), ("store", stored), ("messages", messages)):
        assert len(written) > 1000, name
        assert SECRET not in written, name


async def test_fals_key_goes_to_fal_alone() -> None:
    """Calls to fal have it; a signed upload URL, and a URL in an answer of fal's, never get it."""
    with RedisServer() as redis:
        async with Receiver() as fal, Receiver() as elsewhere, running_emulator("--no-clips") as emulator:
            file_url = "https://v3.fal.media/a.png"
            places = [
                Reply(200, body=json.dumps({"upload_url": f"{at}/put?sig=1", "file_url": file_url}).encode())
                for at in (fal.url, elsewhere.url)
            ]
            async with open_stack(
                redis, emulator, FILMGATE_FAL_QUEUE_URL=fal.url, FILMGATE_FAL_REST_URL=fal.url
            ) as stack:
                fal.answers([places[0], 200, places[1]])
                await stack.gateway.fal.upload(b"x", content_type="image/png", file_name="a.png")
                with pytest.raises(UpstreamUnavailable):
                    await stack.gateway.fal.upload(b"x", content_type="image/png", file_name="a.png")
                fal.answers([Reply(302, {"Location": f"{elsewhere.url}/moved"})] * 4)
                await stack.gateway.fal.submit(
                    "fal-ai/kling-video", {}, start_timeout=None, marker="m", webhook_url=None
                )
                await asyncio.gather(
                    stack.gateway.fal.status("fal-ai/kling-video", "abc"),
                    stack.gateway.fal.result("fal-ai/kling-video", "abc"),
                    stack.gateway.fal.cancel("fal-ai/kling-video", "abc"),
                )
            (put,) = [request for request in fal.requests if request.target == "/put?sig=1"]
            assert "authorization" not in put.headers
            others = [request for request in fal.requests if request is not put]
            assert len(others) == 6
            assert {request.headers["authorization"] for request in others} == {f"Key {EMULATOR_KEY}"}
            assert elsewhere.connections == 0
