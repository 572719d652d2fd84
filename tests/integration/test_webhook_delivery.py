"""Deliveries to a team's webhook endpoints: which events, which signatures, and what happens to failed ones."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.deliveries import (
    DEAD_LETTERS_MS,
    DISABLE_AFTER_FAILURES,
    DISABLE_AFTER_MS,
    MAX_MESSAGE_BYTES,
    Delivery,
)
from app.domain.events import EVENT_TYPES, Event
from app.domain.ids import split_ref
from app.domain.limits import DAY_MS, Limit, Unit, Window
from app.store import keys
from app.views.message import message_body
from tests.support.endpoints import acquired, change, deliveries, endpoint, later, sent, team_admin
from tests.support.pipeline import Pipeline
from tests.support.receiver import Received, Receiver
from workers.deliver import deliver

pytestmark = pytest.mark.anyio

JOB_EVENTS = [name for name in EVENT_TYPES if name.startswith("job.")]
V1_6 = "fal-ai/kling-video/v1.6/standard/image-to-video"


def told(receiver: Receiver) -> dict[str, list[str]]:
    """The types of the events that arrived, by path."""
    found: dict[str, list[str]] = {}
    for request in receiver.requests:
        found.setdefault(request.target, []).append(json.loads(request.body)["type"])
    return found


def verifies(secret: str, request: Received) -> bool:
    """The result of a consumer's verification with this secret."""
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


async def canceled(pipeline: Pipeline) -> str:
    """A job that ends at once, for its event; its id."""
    job_id = await pipeline.admit()
    assert await pipeline.store.cancel_queued(await pipeline.job(job_id))
    return job_id


async def only(pipeline: Pipeline, endpoint_id: str) -> Delivery:
    """The one delivery of this endpoint."""
    (found,) = await deliveries(pipeline, endpoint=endpoint_id)
    return found


async def test_an_event_goes_to_each_endpoint_that_wants_it(pipeline: Pipeline, receiver: Receiver) -> None:
    """By type and by model, in addition to the job's own URL; each message has its own id."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, f"{receiver.url}/usual")
        await endpoint(api, f"{receiver.url}/steps", events=["job.queued", "job.running", "job.succeeded"])
        await endpoint(api, f"{receiver.url}/others", events=["job.queued", "job.succeeded"], models=[V1_6])
        await endpoint(api, f"{receiver.url}/money", events=["budget.threshold"])
        job = await pipeline.ended("a secret prompt", webhook_url=f"{receiver.url}/own")
        while await sent(pipeline):
            pass
        assert told(receiver) == {
            "/usual": ["job.succeeded"],
            "/steps": ["job.queued", "job.running", "job.succeeded"],
            "/own": ["job.succeeded"],
        }
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 5
        sequences = [json.loads(one.body)["sequence"] for one in receiver.requests if one.target == "/steps"]
        assert sequences == sorted(set(sequences))
        assert all(b"secret prompt" not in request.body for request in receiver.requests)
        shown = (await pipeline.stack.api.get(f"/v1/jobs/{job.id}/deliveries")).json()["data"]
        assert {one["id"] for one in shown} == {request.headers["webhook-id"] for request in receiver.requests}


async def test_the_messages_are_in_the_outbox_in_the_moment_of_the_event(pipeline: Pipeline) -> None:
    """A caller that loses the race for the end writes none."""
    async with team_admin(pipeline.stack) as api:
        for number in range(3):
            await endpoint(api, f"https://consumer.example/{number}", events=["job.canceled"])
    job_id = await pipeline.admit()
    job = await pipeline.job(job_id)
    assert await pipeline.due("deliver") == []
    results = [await pipeline.store.cancel_queued(job) for _ in range(3)]
    assert (results, len(await pipeline.due("deliver"))) == ([True, False, False], 3)


async def test_every_secret_signs_until_its_overlap_is_over(pipeline: Pipeline, receiver: Receiver) -> None:
    """Three `v1` signatures; each consumer verifies with its own secret, and a changed body with none."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        address = f"/v1/webhook-endpoints/{made['id']}/rotate-secret"
        secrets = [made["secret"]]
        replies = [await api.post(address, json={"overlap_seconds": overlap_s}) for overlap_s in (600, 1200)]
        secrets += [reply.json()["secret"] for reply in replies]
        await pipeline.ended()
        assert await sent(pipeline) == 1
        (request,) = receiver.requests
        assert request.headers["webhook-signature"].count("v1,") == 3
        assert [verifies(secret, request) for secret in secrets] == [True, True, True]
        tampered = replace(request, body=request.body.replace(b"job.succeeded", b"job.failed"))
        assert not any(verifies(secret, tampered) for secret in secrets)
        newest = (await api.post(address, json={"overlap_seconds": 0})).json()["secret"]
        await api.post(f"/v1/webhook-endpoints/{made['id']}/test")
        assert await sent(pipeline) == 1
    assert [verifies(secret, receiver.requests[1]) for secret in [*secrets, newest]] == [False] * 3 + [True]


async def test_a_jobs_own_webhook_is_signed_with_both_secrets_of_the_team(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """During the overlap of a rotation; the endpoint's own secret does not matter here."""
    async with team_admin(pipeline.stack) as api:
        before = (await api.get("/v1/webhook-secret")).json()["secret"]
        after = (await api.post("/v1/webhook-secret/rotate", json={"overlap_days": 1})).json()["secret"]
    await pipeline.ended(webhook_url=receiver.url)
    assert await sent(pipeline) == 1
    assert [verifies(secret, receiver.requests[0]) for secret in (before, after)] == [True, True]


async def test_an_asymmetric_endpoint_can_verify_without_a_secret(pipeline: Pipeline, receiver: Receiver) -> None:
    """`v1a` over id, time and body verifies with the shown public key, and not for another body."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, asymmetric=True)
    await pipeline.ended()
    assert await sent(pipeline) == 1
    (request,) = receiver.requests
    assert verifies(made["secret"], request)
    signatures = dict(one.split(",", 1) for one in request.headers["webhook-signature"].split())
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(made["public_key"].removeprefix("whpk_")))
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    key.verify(base64.b64decode(signatures["v1a"]), head + request.body)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signatures["v1a"]), head + request.body + b" ")


async def test_an_alert_about_money_reaches_who_asks_for_it(pipeline: Pipeline, receiver: Receiver) -> None:
    """`budget.threshold`, as in the feed."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url, events=["budget.threshold"])
        await pipeline.gateway.limits.replace("test", pipeline.team, [Limit(Unit.USD, Window.TOTAL, 2_000_000)])
        await pipeline.admit()
        assert await sent(pipeline) == 1
        (request,) = receiver.requests
        body = json.loads(request.body)
        assert (body["type"], body["sequence"], body["data"]["threshold"]) == ("budget.threshold", None, 50)
        feed = (await api.get("/v1/events")).json()["data"]
    assert body in [{name: value for name, value in event.items() if name != "id"} for event in feed]


async def test_gone_ends_the_endpoint_and_tells_the_team(pipeline: Pipeline, receiver: Receiver) -> None:
    """410: disabled; waiting ones are dead; feed, another endpoint and an alarm say so; PATCH enables it again."""
    async with team_admin(pipeline.stack) as api:
        gone = await endpoint(api, f"{receiver.url}/gone")
        await endpoint(api, f"{receiver.url}/watch", events=["endpoint.disabled"])
        first, second = await pipeline.ended(), await pipeline.ended()
        receiver.answers([410])
        assert await sent(pipeline, limit=1) == 1
        shown = (await api.get(f"/v1/webhook-endpoints/{gone['id']}")).json()
        assert (shown["status"], shown["disabled_reason"]) == ("disabled", "The endpoint answered 410 Gone.")
        assert await sent(pipeline) == 1
        assert told(receiver) == {"/gone": ["job.succeeded"], "/watch": ["endpoint.disabled"]}
        assert json.loads(receiver.requests[-1].body)["data"]["endpoint"] == gone["id"]
        feed = (await api.get("/v1/events")).json()["data"]
        assert [event["type"] for event in feed].count("endpoint.disabled") == 1
        assert [alarm.kind for alarm in await pipeline.gateway.stores.alarms.newest(5)] == ["endpoint_disabled"]
        dead = await deliveries(pipeline, dead=True)
        jobs = {one.event.job.id for one in dead if isinstance(one.event, Event)}
        assert jobs == {first.id, second.id}
        assert await pipeline.due("deliver") == []
        await pipeline.ended()
        assert await pipeline.due("deliver") == []
        await change(api, gone["id"], paused=False)
        await pipeline.ended()
        assert await sent(pipeline) == 1
        assert told(receiver)["/gone"] == ["job.succeeded"] * 2


async def test_a_plain_user_reads_nothing_of_endpoints_in_the_feed(pipeline: Pipeline, receiver: Receiver) -> None:
    """An endpoint's URL is only for the team's keys."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url)
    receiver.answers([410])
    await pipeline.ended()
    await sent(pipeline)
    feed = (await pipeline.stack.api.get("/v1/events")).json()["data"]
    assert "endpoint.disabled" not in [event["type"] for event in feed]


async def test_an_endpoint_that_fails_for_five_days_is_disabled(pipeline: Pipeline, receiver: Receiver) -> None:
    """After 120 h and 20 consecutive failures, and not before both; one success resets them."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)

        async def fails(times: int) -> str:
            for _ in range(times):
                await canceled(pipeline)
                receiver.answers([500])
                (ref,) = [ref for ref in await pipeline.due("deliver") if await fresh(pipeline, ref)]
                await deliver(pipeline.gateway, ref)
            return str((await api.get(f"/v1/webhook-endpoints/{made['id']}")).json()["status"])

        assert await fails(DISABLE_AFTER_FAILURES + 1) == "active"  # many, but within a minute
        await later(pipeline, made["id"], ms=DISABLE_AFTER_MS)
        await canceled(pipeline)
        (ref,) = [ref for ref in await pipeline.due("deliver") if await fresh(pipeline, ref)]
        await deliver(pipeline.gateway, ref)  # it succeeds once
        assert await fails(DISABLE_AFTER_FAILURES - 1) == "active"
        await later(pipeline, made["id"], ms=DISABLE_AFTER_MS)
        assert await fails(1) == "disabled"
        shown = (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json()
        assert "5 days" in shown["disabled_reason"]


async def fresh(pipeline: Pipeline, ref: str) -> bool:
    """True for a delivery that was not tried yet."""
    delivery = await pipeline.gateway.stores.deliveries.get(ref)
    return delivery is not None and not delivery.attempts


async def test_a_receiver_that_was_down_for_a_day_gets_everything_once(
    pipeline: Pipeline, receiver: Receiver
) -> None:
    """Every attempt of a simulated day fails; then each message arrives once, and `sequence` gives their order."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url, events=JOB_EVENTS)
    receiver.answers([503] * 1000)
    jobs = []
    for _ in range(8):
        jobs.append((await pipeline.ended()).id)
        await sent(pipeline)
        await later(pipeline, made["id"], ms=DAY_MS // 8)
    while await sent(pipeline):
        await later(pipeline, made["id"], ms=1000)
    failed = len(receiver.requests)
    receiver.recovers()
    for _ in range(20):
        await later(pipeline, made["id"], ms=DAY_MS)
        while await sent(pipeline):
            pass
    arrived = receiver.requests[failed:]
    written = await deliveries(pipeline, endpoint=made["id"])
    assert {one.status for one in written} == {"delivered"}
    assert sorted(request.headers["webhook-id"] for request in arrived) == sorted(one.id for one in written)
    heard: dict[str, dict[int, str]] = {}
    for message in (json.loads(request.body) for request in arrived):
        heard.setdefault(message["data"]["id"], {})[message["sequence"]] = message["type"]
    expected = ["job.queued", "job.submitting", "job.running", "job.finalizing", "job.succeeded"]
    assert {job: [types[number] for number in sorted(types)] for job, types in heard.items()} == dict.fromkeys(
        jobs, expected
    )
    assert failed >= 8


async def test_a_paused_endpoint_lets_its_deliveries_wait(pipeline: Pipeline, receiver: Receiver) -> None:
    """No attempt is used up; when it is resumed they are sent."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        await change(api, made["id"], paused=True)
        await pipeline.ended()
        assert await acquired(pipeline) == []
        (delivery,) = await deliveries(pipeline, endpoint=made["id"])
        assert (delivery.status, delivery.attempts) == ("due", ())
        assert (
            await pipeline.redis.zscore(keys.waiting(delivery.destination), pipeline.ref(delivery.id)) is not None
        )
        await change(api, made["id"], paused=False)
        assert await sent(pipeline) == 1
    assert (await only(pipeline, made["id"])).status == "delivered"


async def test_a_pause_in_the_last_moment_holds(pipeline: Pipeline, receiver: Receiver) -> None:
    """Even for an acquired delivery: nothing is sent, and it waits."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        await pipeline.ended()
        ((ref, destination),) = await acquired(pipeline)
        await change(api, made["id"], paused=True)
        await deliver(pipeline.gateway, ref, destination=destination)
    assert receiver.connections == 0
    assert (await only(pipeline, made["id"])).attempts == ()


async def test_what_waited_for_a_deleted_endpoint_is_dead(pipeline: Pipeline, receiver: Receiver) -> None:
    """It is not sent, and is among the dead letters."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        job = await pipeline.ended()
        await api.delete(f"/v1/webhook-endpoints/{made['id']}")
        assert await sent(pipeline) == 0
    (dead,) = await deliveries(pipeline, dead=True)
    assert isinstance(dead.event, Event)
    assert (dead.status, dead.event.job.id, receiver.connections) == ("dead", job.id, 0)


async def test_a_changed_address_is_where_the_next_attempt_goes(pipeline: Pipeline, receiver: Receiver) -> None:
    """The same message, the same id."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, f"{receiver.url}/old")
        await pipeline.ended()
        receiver.answers([500])
        await sent(pipeline)
        await change(api, made["id"], url=f"{receiver.url}/new")
        await later(pipeline, made["id"], ms=10_000)
        await sent(pipeline)
    first, second = receiver.requests
    assert (first.target, second.target) == ("/old", "/new")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_dead_letters_are_kept_for_thirty_days(pipeline: Pipeline, receiver: Receiver) -> None:
    """After the last of ten attempts, from then on; an abort by the receiver ends only that message."""
    async with team_admin(pipeline.stack) as api:
        made = await endpoint(api, receiver.url)
        await pipeline.ended()
        (ref,) = await pipeline.due("deliver")
        await pipeline.redis.pexpire(keys.delivery(ref), 1_000_000)
        receiver.answers([500] * 10)
        for _ in range(10):
            await pipeline.make_due("deliver", ref)
            await deliver(pipeline.gateway, ref)
        assert (await api.get(f"/v1/webhook-endpoints/{made['id']}")).json()["status"] == "active"
    (dead,) = await deliveries(pipeline, dead=True)
    assert (dead.id, dead.status, len(dead.attempts)) == (split_ref(ref)[1], "dead", 10)
    left_ms = await pipeline.redis.pttl(keys.delivery(ref))
    assert DEAD_LETTERS_MS - 60_000 < left_ms <= DEAD_LETTERS_MS


async def test_a_message_stays_below_twenty_kilobytes(pipeline: Pipeline, receiver: Receiver) -> None:
    """A job with long logs and a long error still fits; the job itself shows them in full."""
    job = await pipeline.ended(webhook_url=receiver.url, metadata={"order": "7"})
    (ref,) = await pipeline.due("deliver")
    delivery = await pipeline.gateway.stores.deliveries.get(ref)
    assert delivery is not None
    assert isinstance(delivery.event, Event)
    logs = [{"message": "x" * 1000, "level": "INFO", "timestamp": None}] * 50
    long = replace(delivery, event=replace(delivery.event, job=replace(job, input=None, logs=logs)))
    body = message_body(long, base_url="http://filmgate.test")
    assert len(body) < MAX_MESSAGE_BYTES
    assert json.loads(body)["data"]["metadata"] == {"order": "7"}


async def test_an_erased_jobs_messages_are_dropped(pipeline: Pipeline, receiver: Receiver) -> None:
    """Those to endpoints too: nothing is sent, nothing listed."""
    async with team_admin(pipeline.stack) as api:
        await endpoint(api, receiver.url)
    job = await pipeline.ended()
    assert (await pipeline.stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
    assert await sent(pipeline) == 0
    assert await deliveries(pipeline) == []
