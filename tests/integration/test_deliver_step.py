"""The deliver step: signed, retried by the schedule, and never sent to a forbidden address."""

import asyncio
import json
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.deliveries import ATTEMPT_LEASE_MS
from app.domain.jobs import Charge, Status
from app.store import keys
from app.tasks import cancel_and_wait
from tests.support.emulator import Emulator
from tests.support.endpoints import change, endpoint, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from tests.support.waiting import wait_until
from workers.deliver import deliver

pytestmark = pytest.mark.anyio


async def secret_of(pipeline: Pipeline) -> str:
    """The team's secret, as its administrator reads it."""
    async with team_admin(pipeline.stack) as api:
        secret: str = (await api.get("/v1/webhook-secret")).json()["secret"]
    return secret


async def attempts(pipeline: Pipeline, job_id: str) -> list[dict[str, Any]]:
    """The job's deliveries, as a customer reads them."""
    found: list[dict[str, Any]] = (await pipeline.stack.api.get(f"/v1/jobs/{job_id}/deliveries")).json()["data"]
    return found


async def due_in_ms(pipeline: Pipeline, ref: str) -> float:
    """The time until the delivery is due."""
    return await pipeline.due_in_ms(ref)


async def only_delivery(pipeline: Pipeline) -> str:
    """The one delivery that is due."""
    (ref,) = await pipeline.due("deliver")
    return ref


async def test_the_end_arrives_signed_with_the_teams_secret(pipeline: Pipeline, receiver: Receiver) -> None:
    """The package `standardwebhooks` verifies it; the body is the event, without the input."""
    job = await pipeline.ended("a secret prompt", webhook_url=f"{receiver.url}/hook", metadata={"order": "7"})
    await deliver(pipeline.gateway, await only_delivery(pipeline))
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/hook")
    body = Webhook(await secret_of(pipeline)).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(await secret_of(pipeline)).verify(request.body + b" ", dict(request.headers))
    assert set(body) == {"type", "timestamp", "sequence", "data"}
    assert (body["type"], body["sequence"], body["data"]["id"]) == ("job.succeeded", job.sequence, job.id)
    assert body["data"]["status"] == "succeeded"
    assert body["data"]["metadata"] == {"order": "7"}
    assert body["data"]["charged_usd"] == "1.40"
    assert "input" not in body["data"]
    assert b"secret prompt" not in request.body
    assert (job.upstream_request_id or "").encode() not in request.body.replace(
        json.dumps(body["data"]["output"], separators=(",", ":")).encode(), b""
    )
    (delivery,) = await attempts(pipeline, job.id)
    assert (delivery["event"], delivery["status"], delivery["id"]) == (
        "job.succeeded",
        "delivered",
        request.headers["webhook-id"],
    )
    assert [(one["status"], one["outcome"]) for one in delivery["attempts"]] == [(200, "delivered")]
    assert await pipeline.due("deliver") == []


async def test_a_failed_attempt_is_repeated_by_the_schedule_under_the_same_id(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """500, then 200: the same id and bytes with a new signature; both attempts are shown."""
    receiver.answers([500])
    job = await pipeline.ended(webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    await deliver(pipeline.gateway, ref)
    assert 3000 < await due_in_ms(pipeline, ref) <= 6000
    assert [one["status"] for one in await attempts(pipeline, job.id)] == ["due"]
    await pipeline.make_due("deliver", ref)
    await deliver(pipeline.gateway, ref)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    Webhook(await secret_of(pipeline)).verify(second.body, dict(second.headers))
    (delivery,) = await attempts(pipeline, job.id)
    assert [one["outcome"] for one in delivery["attempts"]] == ["retry", "delivered"]


async def test_an_attempt_keeps_the_address_it_went_to(pipeline: Pipeline, receiver: Receiver) -> None:
    """The endpoint moved between two attempts; a record from before addresses were kept is read too."""
    receiver.answers([500])
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, f"{receiver.url}/old", events=["job.queued"])
        await pipeline.admit()
        ref = await only_delivery(pipeline)
        await deliver(pipeline.gateway, ref)
        await change(api, made["id"], url=f"{receiver.url}/new")
        await pipeline.make_due("deliver", ref)
        await deliver(pipeline.gateway, ref)
    delivery = await pipeline.gateway.stores.deliveries.get(ref)
    assert delivery is not None
    assert [one.url for one in delivery.attempts] == [f"{receiver.url}/old", f"{receiver.url}/new"]
    text = await pipeline.redis.hget(keys.delivery(ref), "attempt:1")
    older = {name: value for name, value in json.loads(text).items() if name != "url"}
    await pipeline.redis.hset(keys.delivery(ref), "attempt:1", json.dumps(older))
    delivery = await pipeline.gateway.stores.deliveries.get(ref)
    assert delivery is not None
    assert delivery.attempts[0].url is None


async def test_a_repeated_task_sends_nothing_before_the_due_time(pipeline: Pipeline, receiver: Receiver) -> None:
    """RQ may run a task twice: the schedule's pauses are kept."""
    receiver.answers([500])
    await pipeline.ended(webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    await deliver(pipeline.gateway, ref)
    await deliver(pipeline.gateway, ref)
    assert len(receiver.requests) == 1


async def test_one_worker_at_a_time_has_a_delivery(pipeline: Pipeline, receiver: Receiver) -> None:
    """Eight tasks for one message send it once; it becomes due again if its worker dies."""
    answers = asyncio.Event()
    receiver.answers([held(Reply(200), until=answers)])
    await pipeline.ended(webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    sending = [asyncio.create_task(deliver(pipeline.gateway, ref)) for _ in range(8)]
    await wait_until(
        lambda: sum(not task.done() for task in sending) == 1, "seven tasks have nothing to send", timeout=10
    )
    await receiver.wait_for(1)
    assert 10_000 < await due_in_ms(pipeline, ref) <= ATTEMPT_LEASE_MS
    answers.set()
    await asyncio.gather(*sending)
    assert len(receiver.requests) == 1


async def test_ten_attempts_are_all(pipeline: Pipeline, receiver: Receiver) -> None:
    """Then it is dead, and never due again."""
    receiver.answers([503] * 10)
    job = await pipeline.ended(webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    for _ in range(12):
        await pipeline.make_due("deliver", ref)
        await deliver(pipeline.gateway, ref)
    assert len(receiver.requests) == 10
    (delivery,) = await attempts(pipeline, job.id)
    assert (delivery["status"], len(delivery["attempts"])) == ("dead", 10)
    assert await pipeline.due("deliver") == []


async def test_a_receiver_that_is_gone_is_left_alone(pipeline: Pipeline, receiver: Receiver) -> None:
    """410 ends this delivery at once."""
    receiver.answers([410])
    job = await pipeline.ended(webhook_url=receiver.url)
    await deliver(pipeline.gateway, await only_delivery(pipeline))
    assert [one["status"] for one in await attempts(pipeline, job.id)] == ["dead"]
    assert await pipeline.due("deliver") == []


async def test_a_private_address_is_refused_when_the_socket_is_opened(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """No address is allowed: no connection is opened, and the customer can read why."""
    async with open_stack(store, emulator) as stack:
        job = await Pipeline(stack).ended(webhook_url=f"{receiver.url}/metadata")
    async with open_stack(store, emulator, FILMGATE_EGRESS_ALLOW="") as stack:
        pipeline = Pipeline(stack)
        pipeline.team = job.team
        ref = await only_delivery(pipeline)
        await deliver(stack.gateway, ref)
        delivery = await stack.gateway.stores.deliveries.get(ref)
        assert delivery is not None
        assert [(one.outcome, one.error) for one in delivery.attempts] == [("refused", "forbidden_target")]
        assert delivery.status == "due"
    assert receiver.connections == 0


async def test_a_held_job_has_an_event(pipeline: Pipeline, receiver: Receiver) -> None:
    """The customer gets an event that the outcome is unknown, and later one with the end: two messages, two ids."""
    job = await pipeline.bought("[emu:submit_500]", webhook_url=receiver.url)
    await deliver(pipeline.gateway, await only_delivery(pipeline))
    await pipeline.gateway.operations.resolve("test", job.id, "fail", charged=False)
    await deliver(pipeline.gateway, await only_delivery(pipeline))
    first, second = [json.loads(request.body) for request in receiver.requests]
    assert (first["type"], first["data"]["held_reason"]) == ("job.held", "http_500")
    assert (second["type"], second["data"]["charged_usd"]) == ("job.failed", "0.00")
    assert first["sequence"] < second["sequence"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2


async def test_the_message_is_in_the_outbox_in_the_moment_of_the_end(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """One script writes both: whoever reads the end reads the message; a step that loses the race writes none."""
    job = await pipeline.bought(webhook_url=receiver.url)
    job = await pipeline.completed(job.id)
    seen: list[tuple[bool, bool]] = []

    async def watch() -> None:
        while True:
            pipe = pipeline.redis.pipeline(transaction=True)
            pipe.hget(keys.job(pipeline.ref(job.id)), "status")
            pipe.zcard(keys.due("deliver"))
            status, waiting = await pipe.execute()
            seen.append((Status(status).ended, waiting == 1))

    watching = asyncio.create_task(watch())
    await wait_until(lambda: bool(seen), "the watcher looks on")
    await asyncio.gather(
        *(pipeline.store.end(job, (Status.FINALIZING,), Status.FAILED, charge=Charge.RELEASE) for _ in range(8))
    )
    await wait_until(lambda: seen[-1][0], "the watcher saw the end")
    await cancel_and_wait(watching)
    assert {ended == waits for ended, waits in seen} == {True}
    assert {ended for ended, _ in seen} == {True, False}
    assert len(await attempts(pipeline, job.id)) == 1


async def test_a_job_without_a_webhook_writes_no_message(pipeline: Pipeline) -> None:
    """Nothing to send, nothing kept."""
    job = await pipeline.ended()
    assert await attempts(pipeline, job.id) == []
    assert await pipeline.due("deliver") == []


async def test_the_message_says_what_was_true_then(pipeline: Pipeline, receiver: Receiver) -> None:
    """A late attempt sends the event as it was, not the job as it is now."""
    job = await pipeline.bought("[emu:submit_500]", webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    await pipeline.gateway.operations.resolve("test", job.id, "fail", charged=True)
    await deliver(pipeline.gateway, ref)
    body = json.loads(receiver.requests[0].body)
    assert (body["type"], body["data"]["status"], body["data"]["charged_usd"]) == ("job.held", "held", None)


async def test_an_erased_jobs_message_is_dropped(pipeline: Pipeline, receiver: Receiver) -> None:
    """Erasing a job removes messages that were not sent yet."""
    job = await pipeline.ended(webhook_url=receiver.url)
    ref = await only_delivery(pipeline)
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    await deliver(pipeline.gateway, ref)
    assert receiver.connections == 0
