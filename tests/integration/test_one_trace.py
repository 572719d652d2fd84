"""One trace id from the door to fal and to the consumer: in the logs, in the headers, and at a collector."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.installation import ENDS, Installation, open_installation
from tests.support.receiver import Receiver, Reply, held
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "a secret wish of a customer"
FAST = ("--queue-seconds", "0.2", "--run-seconds", "0.3")
JOURNEY = ["job.admitted", "request", "job.granted", "job.submitted", "job.ended", "webhook.attempt"]
SPANS = {"POST /v1/jobs", "admit", "queue", "submit", "generate", "finalize", "deliver"}
STOPS_S = 20.0  # two programs, one after the other, on a busy machine; OpenTelemetry would wait 30 s for each


@pytest.fixture
async def collector() -> AsyncIterator[Receiver]:
    """A collector of OpenTelemetry, that answers 200."""
    async with Receiver() as running:
        yield running


@pytest.fixture
async def consumer() -> AsyncIterator[Receiver]:
    """A consumer of webhooks."""
    async with Receiver() as running:
        yield running


def spans_of(collector: Receiver) -> list[Any]:
    """Every span that has arrived, with its `process`."""
    found = []
    for request in collector.requests:
        assert request.target == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            about = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert about["service.name"] == "filmgate"
            found += [span for scope in resource.scope_spans for span in scope.spans]
    return found


def grep(log: Path, text: str) -> list[dict[str, Any]]:
    """The lines that have this text; all lines are JSON."""
    lines = log.read_text("utf-8").splitlines()
    return [one for line in lines if text in line and (one := json.loads(line))]


async def submitted(installation: Installation, consumer: Receiver, **headers: str) -> dict[str, Any]:
    """A job with a webhook, once it has ended and the consumer knows."""
    known = len(consumer.requests)
    image = installation.emulator.sample_image
    body = {"input": {"prompt": PROMPT, "image_url": image}, "webhook_url": f"{consumer.url}/hook"}
    reply = await installation.api.post("/v1/jobs", json=body, headers=headers)
    assert reply.status_code == 202, reply.text
    assert reply.headers["x-request-id"] == headers.get("X-Request-ID", reply.headers["x-request-id"])
    await consumer.wait_for(known + 1, timeout=60)
    found: dict[str, Any] = (await installation.api.get(f"/v1/jobs/{reply.json()['id']}")).json()
    assert found["status"] in ENDS
    return {**found, "request_id": reply.headers["x-request-id"]}


async def test_one_id_leads_from_the_door_to_fal_and_to_the_consumer(
    store: RedisServer, collector: Receiver, consumer: Receiver, tmp_path: Path
) -> None:
    """By `grep`, by headers, as spans; while the collector hangs jobs go on, and stops name what was lost."""
    log = tmp_path / "log"
    otel: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    async with open_installation(store, *FAST, log=log, **otel) as installation:
        job = await submitted(
            installation, consumer, traceparent=f"00-{TRACE}-{SPAN}-01", **{"X-Request-ID": "o-17"}
        )
        await assert_logged(log, job, installation)
        await assert_sent_on(installation, consumer)
        await assert_collected(collector, job)
        await assert_other_forms(installation, consumer, log, collector)
        never = asyncio.Event()
        collector.answers([held(Reply(), never)] * 1000)
        for _ in range(3):
            await submitted(installation, consumer)
        began = time.monotonic()
        await asyncio.to_thread(installation.serve.stop)
        await asyncio.to_thread(installation.workers.stop)
        assert time.monotonic() - began < STOPS_S
        never.set()
    dropped = grep(log, "traces.dropped")
    assert {line["process"] for line in dropped} >= {"api", "worker:work"}
    assert all(line["spans"] > 0 for line in dropped)
    assert PROMPT not in log.read_text("utf-8")
    assert not [line for line in grep(log, "") if "exception" in line]


async def assert_logged(log: Path, job: dict[str, Any], installation: Installation) -> None:
    """One line for each step, each with the names of the job."""
    await wait_until(lambda: len(grep(log, TRACE)) == len(JOURNEY), "every step has its line", timeout=60)
    lines = {line["event"]: line for line in grep(log, TRACE)}
    assert sorted(lines) == sorted(JOURNEY)
    (at_fal,) = await installation.emulator.requests()
    for line in lines.values():
        assert line["trace_id"] == TRACE
        assert line["job"] == job["id"]
        assert (line["team"][:5], line["user"][:5], line["key"][:4]) == ("team_", "user_", "key_")
    for name in ("job.submitted", "job.ended", "webhook.attempt"):
        assert lines[name]["upstream_request_id"] == at_fal["request_id"]
    assert (lines["request"]["status"], lines["request"]["request_id"]) == (202, "o-17")
    assert {lines[name]["address"] for name in ("request", "job.admitted")} == {"127.0.0.1"}
    assert lines["job.granted"]["waited_ms"] >= 0
    assert lines["job.ended"]["status"] == "succeeded"


async def assert_sent_on(installation: Installation, consumer: Receiver) -> None:
    """`traceparent` at fal and at the consumer: this trace, with a span of ours, recorded."""
    (at_fal,) = await installation.emulator.requests()
    sent = [at_fal["headers"]["traceparent"], consumer.requests[0].headers["traceparent"]]
    parts = [one.split("-") for one in sent]
    assert [(version, trace, flags) for version, trace, _, flags in parts] == [("00", TRACE, "01")] * 2
    assert len({SPAN, *(span for _, _, span, _ in parts)}) == 3


async def assert_collected(collector: Receiver, job: dict[str, Any]) -> None:
    """One tree of spans below the caller's, whose times fit."""

    def ours() -> dict[str, Any]:
        return {span.name: span for span in spans_of(collector) if span.trace_id.hex() == TRACE}

    await wait_until(lambda: set(ours()) >= SPANS, "every span is at the collector", timeout=60)
    spans = ours()
    assert set(spans) == SPANS
    assert spans["POST /v1/jobs"].parent_span_id.hex() == SPAN
    assert spans["admit"].parent_span_id == spans["POST /v1/jobs"].span_id
    below = SPANS - {"POST /v1/jobs", "admit"}
    assert {spans[name].parent_span_id for name in below} == {spans["admit"].span_id}
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans.values())
    attributes = {one.key: one.value for one in spans["generate"].attributes}
    assert attributes["filmgate.job"].string_value == job["id"]
    assert attributes["filmgate.polls"].int_value > 0
    assert PROMPT not in repr(spans)


async def assert_other_forms(
    installation: Installation, consumer: Receiver, log: Path, collector: Receiver
) -> None:
    """Without a valid `traceparent` the request id counts; what the caller does not record is not recorded."""
    named = await submitted(installation, consumer, traceparent="00-what-is-this", **{"X-Request-ID": "order-18"})
    fresh = await submitted(installation, consumer)
    for one in (named, fresh):
        events = {line["event"] for line in grep(log, f'"trace_id":"{one["request_id"]}"')}
        assert events >= {"request", "job.admitted", "job.granted", "job.submitted", "job.ended"}
    quiet = "5" * 32
    await submitted(installation, consumer, traceparent=f"00-{quiet}-{SPAN}-00")
    assert consumer.requests[-1].headers["traceparent"].endswith("-00")
    refused = await installation.api.post("/v1/jobs", json={"input": {}, "model": "none"})
    refusal = refused.headers["x-request-id"]
    await wait_until(lambda: bool(grep(log, refusal)), "the refusal has its line")
    assert [(one["event"], one["status"], one["code"]) for one in grep(log, refusal)] == [
        ("request", 404, "model_not_found")
    ]
    await wait_until(
        lambda: any(span.trace_id.hex() == fresh["request_id"] for span in spans_of(collector)), "the fresh one"
    )
    assert quiet not in {span.trace_id.hex() for span in spans_of(collector)}
