"""URLs in fal's answers are used only when they are fal's; its redirects are not followed, its cookies not kept."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.domain.jobs import Money, Status
from app.fal.client import FalClient
from app.fal.protocol import SubmitRefused
from app.fal.signature import KeysUnavailable, Verifier
from app.store import keys
from tests.integration.uploads import initiated, picture, without_key
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.signed import Signer, webhook_body
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
GOOD = "https://v3.fal.media/files/a.png"
NOT_HERE = ["http://xn--a/", "javascript:alert(1)", "https://evil.example/", "//", "http://[::1", "=Ø"]


@asynccontextmanager
async def storage(store: RedisServer, emulator: Emulator) -> AsyncIterator[tuple[Stack, Receiver]]:
    """A gateway whose storage at fal gives scripted answers."""
    async with Receiver() as rest, open_stack(store, emulator, FILMGATE_FAL_REST_URL=rest.url) as stack:
        yield stack, rest


def place(upload_url: Any, file_url: Any) -> Reply:
    """The answer of fal's storage to an upload's initiation."""
    return Reply(200, body=json.dumps({"upload_url": upload_url, "file_url": file_url}).encode())


async def upload(stack: Stack) -> tuple[int, dict[str, Any]]:
    """Upload a picture to the gateway: status and body."""
    reply = await stack.api.post("/v1/files", files={"file": ("a.png", picture(), "image/png")})
    return reply.status_code, reply.json()


@pytest.mark.parametrize("member", ["upload_url", "file_url"])
async def test_a_foreign_address_of_fals_storage_is_not_called_and_not_kept(
    store: RedisServer, emulator: Emulator, member: str
) -> None:
    """503 with a sentence; that host gets no request, and its URL is neither shown nor stored."""
    async with Receiver() as evil, storage(store, emulator) as (stack, rest):
        near = [f"{evil.url}/steal", evil.url.replace("//", "//user:pw@")]
        odd = ["javascript:alert(1)", "http://xn--a/", "\ud83d", "", None, 7]
        for url in [*near, *odd, GOOD.replace("v3.", "evil.example%2f."), "https://v3.fal.media/" + "x" * 900_000]:
            here = {"upload_url": f"{rest.url}/put", "file_url": GOOD}
            rest.answers([place(**(here | {member: url}))])
            status, body = await upload(stack)
            assert (status, body["code"]) == (503, "upstream_unavailable"), url
            assert "not fal's" in body["detail"]
        assert {request.method for request in rest.requests} == {"POST"}
        assert evil.connections == 0
        assert not [name async for name in stack.gateway.stores.redis.scan_iter(match="*file*", count=100)]


async def test_an_address_of_fals_is_called_without_the_key(store: RedisServer, emulator: Emulator) -> None:
    """The bytes go to the storage's own upload URL; the caller gets the file's URL."""
    async with storage(store, emulator) as (stack, rest):
        rest.answers([place(f"{rest.url}/put?signature=x", GOOD), 200])
        status, body = await upload(stack)
        assert (status, body["url"]) == (201, GOOD)
        asked, put = rest.requests
        assert (put.method, put.target, put.body) == ("PUT", "/put?signature=x", picture())
        assert "authorization" in asked.headers
        assert "authorization" not in put.headers


async def test_a_foreign_url_of_an_older_record_is_not_redirected_to(stack: Stack) -> None:
    """Neither to a file's URL nor to a clip's; the answer is that there is none."""
    redis: Any = stack.gateway.stores.redis
    file = await initiated(stack.api)
    async with without_key(stack) as web:
        assert (await web.put(file["upload_url"], content=picture())).status_code == 200
    file_id = file["file_url"].split("/")[-2]
    job = await Pipeline(stack).ended()
    for url in ("javascript:alert(1)", "http://169.254.169.254/x", "https://evil.example%2f.fal.media/x"):
        await redis.hset(keys.upload(stack.account.team.id, file_id), "url", url)
        assert (await stack.api.get(file["file_url"], follow_redirects=False)).status_code == 404
        body = stack.body() | {"input": {"prompt": "a", "image_url": file["file_url"]}}
        refused = await stack.api.post("/v1/jobs", json=body)
        assert refused.status_code == 422
        await Pipeline(stack).write(job.id, output=json.dumps({"video": {"url": url}}))
        shown = await stack.job(job.id)
        assert (shown["status"], shown["output"]) == ("succeeded", None)
        assert (await stack.api.get(f"/v1/jobs/{job.id}/video")).status_code == 409


# --- redirects and cookies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", NOT_HERE)
async def test_a_redirect_of_fals_is_an_answer_like_any_other(
    store: RedisServer, emulator: Emulator, location: str
) -> None:
    """Wherever it leads and however it is written: the submission's outcome is unknown, and a poll is repeated."""
    gone = Reply(302, {"Location": location, "Set-Cookie": "a=b"})
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        fal.answers([gone, Reply(200, body=b'{"request_id": "abc-1"}'), gone, gone])
        held = await pipeline.bought()
        assert (held.status, held.held_reason) == (Status.HELD, "http_302")
        assert (await pipeline.gateway.stores.buying.state()).failures == 1
        job = await pipeline.bought()
        assert await pipeline.poll(job.id) is not None
        assert (await pipeline.job(job.id)).status is Status.RUNNING
        assert await pipeline.gateway.fal.cancel(job.model, "abc-1")


@pytest.mark.parametrize("location", NOT_HERE)
async def test_a_redirect_of_fals_keys_is_no_key(location: str) -> None:
    """A webhook cannot be verified then, and no exception is raised."""
    async with Receiver() as fal:
        fal.answers([Reply(302, {"Location": location})] * 2)
        body = webhook_body("abc-1")
        signed = Signer().headers("abc-1", body)
        verifier = Verifier(f"{fal.url}/jwks.json", user_id=None)
        try:
            with pytest.raises(KeysUnavailable):
                await verifier.verify(signed.items(), body, now_s=time.time())
        finally:
            await verifier.aclose()


async def test_fals_cookies_are_not_kept(store: RedisServer, emulator: Emulator) -> None:
    """Neither by the submit call nor by the client that shares its connections."""
    cookie = {"Set-Cookie": "who=filmgate; Path=/"}
    queued = Reply(202, cookie, body=b'{"status": "IN_QUEUE"}')
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        fal.answers([Reply(200, cookie, body=b'{"request_id": "abc-1"}'), queued, queued] * 2)
        pipeline = Pipeline(stack)
        for _ in range(2):
            job = await pipeline.bought()
            await pipeline.poll(job.id)
            await pipeline.poll(job.id)
        assert len(fal.requests) == 6
        assert not [request for request in fal.requests if "cookie" in request.headers]


# --- requests that never left ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["abc:def ", "abc:def\n", "abc:\ndef", "abc:d\x00ef", "clé:déf", "\ud83d"])
async def test_a_key_that_cannot_be_sent_is_a_refusal(store: RedisServer, emulator: Emulator, key: str) -> None:
    """If such a key reaches the call: nothing is sent, the job stays in line, and buying stops."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        broken = FalClient(queue_url=fal.url, rest_url=fal.url, key=key)
        object.__setattr__(stack.gateway, "fal", broken)
        try:
            job = await pipeline.bought()
        finally:
            await broken.close()
        assert fal.requests == []
        assert (job.status, job.attempt, job.money) == (Status.QUEUED, 1, Money.RESERVED)
        state = await pipeline.gateway.stores.buying.state()
        assert state.until_ms is None
        assert "FAL_KEY" in (state.stopped or "")


async def test_a_failed_connection_says_why(store: RedisServer, emulator: Emulator) -> None:
    """DNS or a refused connection: in the log, in the refusal, and so in the status and in `upstream_paused`."""
    for url, cause, words in (
        ("https://queue.invalid", "dns", "DNS"),
        ("http://127.0.0.1:9", "refused", "refuses the connection"),
    ):
        async with open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=url) as stack:
            with capture_logs() as lines:
                fal = stack.gateway.fal
                outcome = await fal.submit(MODEL, {}, start_timeout=None, marker="m", webhook_url=None)
                await fal.status(MODEL, "abc-1")
            assert isinstance(outcome, SubmitRefused)
            assert words in outcome.message
            told = [(line["call"], line["cause"]) for line in lines if line["event"] == "fal.away"]
            # Once for each cause; some name servers take longer to answer for an unknown name.
            assert told in ([("submit", cause)], [("submit", cause), ("status", "timeout")])
