"""Webhooks of jobs from the fal-compatible API: fal's shape, and a signature that fal's verifiers accept."""

import asyncio
import base64
import hashlib
import json
from itertools import count
from typing import Any

import pytest
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.api.well_known import PATHS
from app.domain.jobs import Charge, Job, Status
from app.fal.signature import NotGenuine, VerifiedWebhook
from app.store import keys
from app.store.secrets import SecretStore
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Received, Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.verifying import verifier_setup
from tests.support.waiting import wait_until
from workers.deliver import deliver

pytestmark = pytest.mark.anyio

MODEL = "fal-ai/kling-video/v2/master/image-to-video"
_numbers = count(1)  # each prompt is used once: the same body again would be the same job


async def asked(pipeline: Pipeline, receiver: Receiver, prompt: str = "a quiet lake") -> str:
    """A job from the fal-compatible API, with its slot; this receiver gets its webhook."""
    given = {"prompt": f"{prompt} {next(_numbers)}", "image_url": pipeline.stack.emulator.sample_image}
    hook = {"fal_webhook": f"{receiver.url}/fal?order=7"}
    reply = await pipeline.stack.api.post(f"/fal/queue/{MODEL}", params=hook, json=given)
    assert reply.status_code == 200, reply.text
    await pipeline.gateway.stores.slots.grant()
    job_id: str = reply.json()["request_id"]
    return job_id


async def result(pipeline: Pipeline, job_id: str) -> tuple[int, Any]:
    """The answer of the result URL."""
    reply = await pipeline.stack.api.get(f"/fal/queue/{MODEL}/requests/{job_id}")
    return reply.status_code, reply.json()


async def ended(pipeline: Pipeline, receiver: Receiver, prompt: str = "a quiet lake") -> Job:
    """The same, at its end."""
    job_id = await asked(pipeline, receiver, prompt)
    await pipeline.submit(job_id)
    await pipeline.completed(job_id)
    return await pipeline.finalized(job_id)


async def deliver_all(pipeline: Pipeline) -> None:
    """One attempt for every pending delivery, as if it were due."""
    for ref in await pipeline.due("deliver"):
        await pipeline.make_due("deliver", ref)
        await deliver(pipeline.gateway, ref)


async def published(pipeline: Pipeline) -> bytes:
    """The key set, read without a key."""
    pipeline.stack.api.headers.pop("authorization", None)
    reply = await pipeline.stack.api.get(PATHS[0])
    assert reply.status_code == 200
    return reply.content


async def verified(pipeline: Pipeline, request: Received, **changed: Any) -> VerifiedWebhook:
    """The answer of a verifier of fal's webhooks to a request, given our keys instead of fal's."""
    keys_shown = Reply(200, {"Content-Type": "application/json", "Connection": "close"}, await published(pipeline))
    headers = {**request.headers, **changed.get("headers", {})}
    body = changed.get("body", request.body)
    async with verifier_setup(keys_shown, keys_shown, user_id=pipeline.team) as at:
        return await at.verifier.verify(
            headers.items(), body, now_s=int(request.headers["x-fal-webhook-timestamp"])
        )


async def test_the_end_arrives_as_fal_would_tell_it(pipeline: Pipeline, receiver: Receiver) -> None:
    """The clip next to the job's id, and nothing else; none of our own headers."""
    job = await ended(pipeline, receiver)
    await deliver_all(pipeline)
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/fal?order=7")
    assert await result(pipeline, job.id) == (200, job.output)
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "request_id": job.id,
        "gateway_request_id": job.id,
        "status": "OK",
        "payload": job.output,
    }
    assert request.headers["x-fal-webhook-request-id"] == job.id
    assert request.headers["x-fal-webhook-user-id"] == pipeline.team
    assert not any(name.startswith("webhook-") for name in request.headers)
    assert await pipeline.due("deliver") == []


async def test_a_verifier_of_fals_takes_it_with_our_keys(pipeline: Pipeline, receiver: Receiver) -> None:
    """Our verifier of fal's webhooks; it refuses one more byte, another id, user or time."""
    job = await ended(pipeline, receiver)
    await deliver_all(pipeline)
    (request,) = receiver.requests
    assert await verified(pipeline, request) == VerifiedWebhook(job.id, pipeline.team)
    later = str(int(request.headers["x-fal-webhook-timestamp"]) + 1)
    for changed in (
        {"body": request.body + b" "},
        {"headers": {"x-fal-webhook-request-id": "job_other"}},
        {"headers": {"x-fal-webhook-timestamp": later}},
    ):
        with pytest.raises(NotGenuine, match="signature"):
            await verified(pipeline, request, **changed)


async def test_it_verifies_by_the_documentation_alone(pipeline: Pipeline, receiver: Receiver) -> None:
    """ED25519 with the published coordinate, over what fal's documentation says, and over nothing else."""
    job = await ended(pipeline, receiver)
    await deliver_all(pipeline)
    (request,) = receiver.requests
    jwk, _ = json.loads(await published(pipeline))["keys"]  # the second is the same key, padded
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk["x"] + "="))
    stamp = request.headers["x-fal-webhook-timestamp"]
    message = "\n".join((job.id, pipeline.team, stamp, hashlib.sha256(request.body).hexdigest())).encode()
    signature = bytes.fromhex(request.headers["x-fal-webhook-signature"])
    key.verify(signature, message)
    with pytest.raises(InvalidSignature):
        key.verify(signature, message + b"\n")


async def test_a_refused_input_arrives_as_an_error_with_fals_own_words(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """The status in the message, and the body that the result URL has."""
    job = await ended(pipeline, receiver, "[emu:422_image_load]")
    await deliver_all(pipeline)
    body = json.loads(receiver.requests[0].body)
    assert (body["request_id"], body["status"], body["error"]) == (job.id, "ERROR", "Invalid status code: 422")
    assert (422, body["payload"]) == await result(pipeline, job.id)
    assert "Image load error" in json.dumps(body["payload"]["detail"])
    assert await verified(pipeline, receiver.requests[0]) == VerifiedWebhook(job.id, pipeline.team, failed=True)


async def test_a_cancelled_job_arrives_as_499(pipeline: Pipeline, receiver: Receiver) -> None:
    """What the result URL shows after a cancel."""
    job_id = await asked(pipeline, receiver)
    assert (await pipeline.stack.api.post(f"/v1/jobs/{job_id}/cancel")).status_code == 202
    await deliver_all(pipeline)
    body = json.loads(receiver.requests[0].body)
    assert (body["request_id"], body["status"], body["error"]) == (job_id, "ERROR", "Invalid status code: 499")
    assert body["payload"]["error_type"] == "client_cancelled"
    assert (499, body["payload"]) == await result(pipeline, job_id)


async def test_a_cancelled_job_that_fal_completes_all_the_same_arrives_as_499(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """On the fal-compatible API a cancel is final: the message and the result URL say the same."""
    job_id = await asked(pipeline, receiver, "[emu:cancel_ignored]")
    await pipeline.submit(job_id)
    reply = await pipeline.stack.api.put(f"/fal/queue/{MODEL}/requests/{job_id}/cancel")
    assert reply.status_code == 202
    await pipeline.completed(job_id)
    assert (await pipeline.finalized(job_id)).status is Status.SUCCEEDED
    await deliver_all(pipeline)
    (request,) = receiver.requests
    body = json.loads(request.body)
    assert (body["status"], body["error"]) == ("ERROR", "Invalid status code: 499")
    assert (499, body["payload"]) == await result(pipeline, job_id)


async def test_an_unknown_outcome_has_no_message_and_its_end_has_one(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """Fal's webhooks report only the end: one message for one job."""
    job_id = await asked(pipeline, receiver, "[emu:submit_500]")
    job = await pipeline.submit(job_id)
    assert (job.status, await pipeline.due("deliver")) == (Status.HELD, [])
    await pipeline.gateway.operations.resolve("test", job_id, "fail", charged=False)
    await deliver_all(pipeline)
    (request,) = receiver.requests
    assert json.loads(request.body)["status"] == "ERROR"


async def test_an_end_is_one_message_however_many_see_it(pipeline: Pipeline, receiver: Receiver) -> None:
    """Eight concurrent settlements of the same job write one."""
    job_id = await asked(pipeline, receiver)
    await pipeline.submit(job_id)
    job = await pipeline.completed(job_id)
    end = pipeline.store.end
    await asyncio.gather(*(end(job, (Status.FINALIZING,), Status.FAILED, charge=Charge.RELEASE) for _ in range(8)))
    assert len(await pipeline.due("deliver")) == 1


async def test_a_repeated_attempt_has_the_same_bytes_and_a_time_of_its_own(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """500, later 200: both verify; with the schedule of all deliveries."""
    receiver.answers([500])
    await ended(pipeline, receiver)
    await deliver_all(pipeline)
    (ref,) = await pipeline.due("deliver")
    first_ms = await pipeline.gateway.stores.clock.now_ms()
    assert 3000 < await pipeline.due_in_ms(ref) <= 6000

    async def next_second() -> bool:
        return await pipeline.gateway.stores.clock.now_ms() // 1000 > first_ms // 1000

    await wait_until(next_second, "the store's clock shows another second")
    await deliver_all(pipeline)
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["x-fal-webhook-timestamp"] < second.headers["x-fal-webhook-timestamp"]
    assert first.headers["x-fal-webhook-signature"] != second.headers["x-fal-webhook-signature"]
    for request in receiver.requests:
        await verified(pipeline, request)
    assert await pipeline.due("deliver") == []


async def test_a_native_jobs_end_has_the_native_shape(pipeline: Pipeline, receiver: Receiver) -> None:
    """Two jobs, two shapes: the format belongs to the job."""
    await ended(pipeline, receiver)
    await pipeline.ended(webhook_url=f"{receiver.url}/native")
    await deliver_all(pipeline)
    shapes = {request.target: set(json.loads(request.body)) for request in receiver.requests}
    assert shapes == {
        "/fal?order=7": {"request_id", "gateway_request_id", "status", "payload"},
        "/native": {"type", "timestamp", "sequence", "data"},
    }


@pytest.mark.parametrize("path", PATHS)
async def test_the_keys_are_public_and_may_be_cached_for_an_hour(pipeline: Pipeline, path: str) -> None:
    """Without credentials; only the public half."""
    pipeline.stack.api.headers.pop("authorization")
    reply = await pipeline.stack.api.get(path)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "public, max-age=3600"
    shown = reply.json()["keys"]
    assert [set(jwk) for jwk in shown] == [{"kty", "crv", "use", "kid", "x"}] * 2
    assert [(jwk["kty"], jwk["crv"], jwk["use"]) for jwk in shown] == [("OKP", "Ed25519", "sig")] * 2


async def test_the_installation_has_one_key_and_the_first_writer_made_it(
    pipeline: Pipeline, store: RedisServer, emulator: Emulator
) -> None:
    """Twenty concurrent first uses create one; a gateway that starts later publishes the same."""

    async def needed(turns: int) -> bytes:
        for _ in range(turns):
            await asyncio.sleep(0)
        return (await SecretStore(pipeline.redis, given=None).of_webhooks()).private_bytes_raw()

    for _ in range(10):
        await pipeline.redis.delete(keys.WEBHOOK_KEY)
        assert len(set(await asyncio.gather(*map(needed, range(20))))) == 1
    shown = await published(pipeline)
    async with open_stack(store, emulator) as later:
        assert await published(Pipeline(later)) == shown


async def test_the_key_is_the_stores_at_every_use(pipeline: Pipeline) -> None:
    """When another store replaces this one, the published key is the one that signs."""
    before = await published(pipeline)
    await pipeline.redis.delete(keys.WEBHOOK_KEY)
    after = await published(pipeline)
    assert before != after
    assert await published(pipeline) == after


async def test_the_private_half_is_in_no_log_and_no_reply(pipeline: Pipeline, receiver: Receiver) -> None:
    """Neither as stored nor as printed bytes."""
    with structlog.testing.capture_logs() as logs:
        await ended(pipeline, receiver)
        await deliver_all(pipeline)
        shown = await published(pipeline)
    seed: str = await pipeline.redis.get(keys.WEBHOOK_KEY)
    raw = bytes.fromhex(seed)
    forms = [seed, base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), repr(raw)]
    text = repr(logs) + shown.decode() + repr([(one.headers, one.body) for one in receiver.requests])
    assert "webhook.attempt" in text
    assert [form for form in forms if form in text] == []
    assert seed not in repr(await pipeline.gateway.stores.secrets.of_webhooks())


async def test_without_the_store_there_are_no_keys_to_show(emulator: Emulator) -> None:
    """503 to be retried, never another key."""
    with RedisServer() as own:
        async with open_stack(own, emulator) as stack:
            own.kill()
            reply = await stack.api.get(PATHS[0])
    assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
