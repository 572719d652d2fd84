"""Alarms are sent out: once, again while they last, and at their end; whatever the receiver does."""

import asyncio
import json
from typing import Any

import pytest

from app.domain.alerts import MAX_BACKOFF_MS, REFUSED_TIMES, REPEAT_MS, WORSE_MS
from app.gateway import open_gateway
from app.services import alerts as alerts_module
from app.store import keys
from tests.integration.admin import Administrator, administrator
from tests.integration.alerting import alert_settings, alerting, arrived, verified
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Answer, Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.server import running_server
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio

HOLDS = "[emu:drop_after_accept]"


async def age_alarms(stack: Stack, ms: int) -> None:
    """As if every active alarm had been told so long ago."""
    redis: Any = stack.gateway.stores.redis
    for name, text in (await redis.hgetall(keys.ACTIVE_ALARMS)).items():
        row = json.loads(text)
        row["sent_ms"] -= ms
        await redis.hset(keys.ACTIVE_ALARMS, name, json.dumps(row))


async def try_again_now(stack: Stack) -> None:
    """As if the pause after a failure were over; then send."""
    redis: Any = stack.gateway.stores.redis
    if await redis.hgetall(keys.ALERT_RECEIVER):
        await redis.hset(keys.ALERT_RECEIVER, "next_ms", 0)
    await stack.gateway.alerts.send_due()


async def shown(stack: Stack) -> dict[str, Any]:
    """What `status` says about the receiver."""
    async with administrator(stack) as admin:
        seen: dict[str, Any] = (await admin.done("GET", "status"))["alerts"]
    return seen


async def test_a_held_job_pages_a_receiver_within_ten_seconds_and_its_end_is_told(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """By real processes, each message once although two APIs run; signed; resolved when a person has decided."""
    settings = alert_settings(receiver)
    async with open_stack(store, emulator) as stack:
        environment = {**stack.environment, **settings}
        async with running_server(environment), running_server(environment):
            pipeline = Pipeline(stack)
            job = await pipeline.bought(HOLDS)
            assert job.status.value == "held"
            await receiver.wait_for(1, timeout=10)
            await stack.gateway.operations.resolve("test", job.id, "fail", charged=False)
            await receiver.wait_for(2, timeout=10)
            await asyncio.sleep(2.5)  # both have looked again
        first, second = verified(receiver)
    assert (first["type"], second["type"]) == ("alarm.raised", "alarm.resolved")
    shape = (first["data"]["kind"], first["data"]["severity"], first["data"]["job"], first["data"]["runbook"])
    assert shape == ("held", "page", job.id, "docs/runbook.md#held")
    assert first["data"]["resolved_at"] is None
    assert second["data"]["raised_at"] == first["data"]["raised_at"] < second["data"]["resolved_at"]


async def test_an_alarm_is_told_once_then_by_the_hour_and_when_it_is_worse(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """A page by the hour; one that became worse after five minutes; its end at once, with the first time."""
    async with alerting(store, emulator, receiver) as stack:
        alarms, alerts = stack.gateway.stores.alarms, stack.gateway.alerts
        assert await alarms.raise_alarm("store_memory", "80 %", level=1)
        for _ in range(3):
            await alerts.send_due()
        assert arrived(receiver) == [("alarm.raised", "store_memory")]
        await age_alarms(stack, REPEAT_MS["page"] - 60_000)
        await alerts.send_due()
        assert len(receiver.requests) == 1
        await age_alarms(stack, 60_000)
        await alerts.send_due()
        assert arrived(receiver)[1:] == [("alarm.repeated", "store_memory")]
        assert await alarms.raise_alarm("store_memory", "90 %", level=2)
        await alerts.send_due()
        assert len(receiver.requests) == 2
        await age_alarms(stack, WORSE_MS)
        await alerts.send_due()
        assert [body["data"]["message"] for body in verified(receiver)] == ["80 %", "80 %", "90 %"]
        assert await alarms.resolve_alarm("store_memory", "enough again")
        for _ in range(2):
            await alerts.send_due()
        assert arrived(receiver)[3:] == [("alarm.resolved", "store_memory")]
        assert len({one.headers["webhook-id"] for one in receiver.requests}) == 4


async def test_an_event_is_told_once_and_an_alarm_that_came_and_went_by_its_end(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """Two alarms of one kind about different hosts are two; nothing waits afterwards."""
    async with alerting(store, emulator, receiver) as stack:
        alarms = stack.gateway.stores.alarms
        await alarms.raise_alarm("orphan", "fal has one request more", job="job_1", upstream_request_id="r-1")
        await alarms.raise_alarm("disk_low", "on a", about="a")
        await alarms.raise_alarm("disk_low", "on b", about="b")
        await alarms.resolve_alarm("disk_low", "a has room", about="a")
        for _ in range(2):
            await stack.gateway.alerts.send_due()
        seen = [(body["type"], body["data"]["about"], body["data"]["message"]) for body in verified(receiver)]
        assert seen == [
            ("alarm.raised", None, "fal has one request more"),
            ("alarm.resolved", "a", "a has room"),
            ("alarm.raised", "b", "on b"),
        ]
        assert await shown(stack) == {
            "sent": True,
            "waiting": 0,
            "failing_since": None,
            "failures": 0,
            "error": None,
        }


FAULTS: dict[str, tuple[Answer, str]] = {
    "500": (500, "status 500"),
    "redirects": (Reply(302, {"Location": "http://127.0.0.1:1/"}), "redirect"),
    "hangs": (held(Reply(200), asyncio.Event()), "timeout"),
    "refused": (Reply(401), "status 401"),
    "gone": (410, "status 410"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_receiver_that_fails_is_tried_again_until_it_takes_the_message(
    store: RedisServer, emulator: Emulator, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Not at once, the same message with the same id, and nothing is lost; `status` says what is wrong."""
    answer, error = FAULTS[fault]
    monkeypatch.setattr(alerts_module, "ATTEMPT_S", 0.3)
    async with alerting(store, emulator, receiver) as stack:
        receiver.answers([answer, answer])
        await stack.gateway.stores.alarms.raise_alarm("orphan", "one")
        await stack.gateway.stores.alarms.raise_alarm("held", "two")
        for _ in range(2):
            await stack.gateway.alerts.send_due()
        assert len(receiver.requests) == 1
        await try_again_now(stack)
        seen = await shown(stack)
        assert (seen["failures"], seen["error"], seen["waiting"]) == (2, error, 1)
        assert seen["failing_since"] is not None
        await try_again_now(stack)
        assert arrived(receiver)[2:] == [("alarm.raised", "orphan"), ("alarm.raised", "held")]
        assert len({one.headers["webhook-id"] for one in receiver.requests[:3]}) == 1
        assert (await shown(stack))["failures"] == 0


async def test_a_message_that_is_refused_for_its_content_does_not_stop_the_others(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """400 five times in a row: it is given up, and the next one is sent."""
    async with alerting(store, emulator, receiver) as stack:
        receiver.answers([400] * REFUSED_TIMES)
        await stack.gateway.stores.alarms.raise_alarm("orphan", "one")
        await stack.gateway.stores.alarms.raise_alarm("foreign_task", "two")
        for _ in range(REFUSED_TIMES + 1):
            await try_again_now(stack)
        kinds = [kind for _, kind in arrived(receiver)]
        assert kinds == ["orphan"] * REFUSED_TIMES + ["foreign_task"]


async def test_what_was_not_sent_is_sent_after_a_restart(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """The outbox is in the store; a pause that a Retry-After asks for outlives the process too, up to an hour."""
    async with alerting(store, emulator, receiver) as stack:
        receiver.answers([Reply(503, {"Retry-After": "86400"})])
        await stack.gateway.stores.alarms.raise_alarm("orphan", "one")
        await stack.gateway.alerts.send_due()
        now_ms = await stack.gateway.stores.clock.now_ms()
        next_ms = (await stack.gateway.stores.alerts.receiver()).next_ms
        assert MAX_BACKOFF_MS < next_ms - now_ms <= 3_600_000
        await stack.gateway.alerts.close()
        async with open_gateway(stack.settings, process="api") as gateway:
            await gateway.alerts.send_due()
            assert len(receiver.requests) == 1
            await gateway.stores.redis.hset(keys.ALERT_RECEIVER, "next_ms", 0)
            await gateway.alerts.send_due()
            await gateway.alerts.close()
        assert arrived(receiver) == [("alarm.raised", "orphan")] * 2


async def test_one_process_sends_and_another_takes_over(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """While the first has the lease the second sends nothing; when it has left, the second sends the rest."""
    async with (
        alerting(store, emulator, receiver) as stack,
        open_gateway(stack.settings, process="api") as second,
    ):
        await stack.gateway.stores.alarms.raise_alarm("orphan", "one")
        await second.alerts.send_due()
        assert receiver.requests == []
        await stack.gateway.alerts.close()
        await second.alerts.send_due()
        assert arrived(receiver) == [("alarm.raised", "orphan")]
        await second.alerts.close()


async def test_without_a_receiver_nothing_is_kept_to_be_sent(stack: Stack, admin: Administrator) -> None:
    """Active alarms are in the status all the same; a test says which setting is missing."""
    alarms = stack.gateway.stores.alarms
    await alarms.raise_alarm("orphan", "one")
    await alarms.raise_alarm("held", "two")
    await stack.gateway.alerts.send_due()
    await alarms.resolve_alarm("held", "over")
    seen = await admin.done("GET", "status")
    assert (seen["active_alarms"], seen["alerts"]["sent"], seen["alerts"]["waiting"]) == ([], False, 0)
    refused = await admin.call("POST", "alerts/test")
    assert (refused.status_code, "FILMGATE_ALERT_WEBHOOK" in refused.json()["detail"]) == (409, True)


async def test_slacks_form_is_a_text_that_cannot_mention_anybody(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """Without a signature if there is no secret; what comes from outside is escaped."""
    async with alerting(store, emulator, receiver, FILMGATE_ALERT_FORM="slack", FILMGATE_ALERT_SECRET="") as stack:
        await stack.gateway.stores.alarms.raise_alarm("held", "1 job <!channel> & more", job="job_1")
        await stack.gateway.alerts.send_due()
        await stack.gateway.stores.alarms.resolve_alarm("held", "over")
        await stack.gateway.alerts.send_due()
    (first, second) = [json.loads(one.body) for one in receiver.requests]
    assert list(first) == ["text"]
    head, message, job, rest = first["text"].split("\n")
    assert head == "*[page] Jobs are held: the outcome of their submission is unknown*"
    assert message == "1 job &lt;!channel&gt; &amp; more"
    assert job == "job `job_1`"
    assert rest.startswith("http://filmgate.test · `held` · raised 20")
    assert second["text"].startswith("*[resolved] Jobs are held")
    assert "webhook-signature" not in receiver.requests[0].headers


async def test_an_administrator_tries_the_receiver(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """One signed `alarm.test`, past everything that waits; the reply says how it was answered."""
    async with alerting(store, emulator, receiver) as stack, administrator(stack) as admin:
        receiver.answers([200, Reply(403, body=b"who are you? " + b"x" * 5000)])
        good = (await admin.call("POST", "alerts/test")).json()
        bad = (await admin.call("POST", "alerts/test")).json()
        assert (good["delivered"], good["status"], good["error"]) == (True, 200, None)
        assert (bad["delivered"], bad["error"]) == (False, "status 403")
        assert bad["answer"] == f"who are you? {'x' * 187}"
        assert [body["type"] for body in verified(receiver)] == ["alarm.test"] * 2
        assert (await shown(stack))["failures"] == 0  # a test delays no alarm


async def test_a_receiver_may_be_private_but_not_this_gateway(
    store: RedisServer, emulator: Emulator, receiver: Receiver
) -> None:
    """The operator has named its host, so customers' list need not open it; the store and Filmgate stay closed."""
    async with alerting(store, emulator, receiver, FILMGATE_EGRESS_ALLOW="") as stack:
        assert (await stack.gateway.alerts.test()).delivered
