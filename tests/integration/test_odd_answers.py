"""Odd text in fal's answers is made harmless when it is read: no job hangs, no list breaks, erasure is complete."""

import json
from typing import Any

import pytest

from app.domain.jobs import Job, Money, Status
from tests.integration.older_records import rewrite_events
from tests.support.checks import ledger_faults
from tests.support.emulator import Emulator
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer
from tests.support.snapshot import Snapshot
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio
PRICE = 1_400_000
ACCEPTED = Reply(200, body=b'{"request_id": "abc-1"}')
COMPLETED = Reply(200, body=b'{"status": "COMPLETED"}')
CLIP = Reply(200, body=b'{"video": {"url": "https://v3.fal.media/files/a/output.mp4"}}')
HALF = rb'{"message": "a smile \ud83d", "timestamp": "2026-11-28T12:00:00Z"}'


def strict(text: str) -> Any:
    """Parse strict JSON, without NaN and the like."""
    return json.loads(text, parse_constant=pytest.fail)


async def shown(stack: Stack, job_id: str) -> dict[str, Any]:
    """The job as its own page shows it; it is also in its user's list and in the feed, all of it strict JSON."""
    pages = {path: await stack.api.get(path) for path in (f"/v1/jobs/{job_id}", "/v1/jobs", "/v1/events")}
    assert {path: reply.status_code for path, reply in pages.items()} == dict.fromkeys(pages, 200)
    alone, listed, events = (strict(reply.text) for reply in pages.values())
    assert job_id in {job["id"] for job in listed["data"]}
    assert job_id in {event["data"]["id"] for event in events["data"] if event["type"].startswith("job.")}
    found: dict[str, Any] = alone
    return found


async def ended(pipeline: Pipeline, fal: Receiver, *answers: Reply) -> Job:
    """The ended job for which fal gave this answer."""
    fal.answers([ACCEPTED, *answers])
    job = await pipeline.bought()
    await pipeline.completed(job.id)
    return await pipeline.finalized(job.id)


async def test_half_a_character_in_a_log_line_costs_itself(store: RedisServer, emulator: Emulator) -> None:
    """The job runs on and succeeds, whether fal sends it in a status or in the result; its slot is free."""
    running = Reply(200, body=b'{"status": "IN_PROGRESS", "logs": [' + HALF + b"]}")
    done = Reply(200, body=b'{"status": "COMPLETED", "logs": [' + HALF + b"," + HALF + b"]}")
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        job = await ended(pipeline, fal, running, done, CLIP)
        assert (job.status, job.money) == (Status.SUCCEEDED, Money.SPENT)
        view = await shown(stack, job.id)
        assert [line["message"] for line in view["logs"]] == ["a smile �"] * 2
        assert await pipeline.slot(job.id) is None
        assert await ledger_faults(pipeline.redis) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail": [{"loc": null, "msg": "m"}]}',
        b'{"detail": [{"loc": 5, "msg": "m"}]}',
        b'{"detail": "d", "error_type": {"a": 1}}',
        b'{"detail": [{"loc": ["a"], "msg": "m", "ctx": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}]}",
        rb'{"detail": "\ud83d"}',
        rb'{"detail": [{"loc": ["\ud83d"], "msg": "\ud83d", "type": "\ud83d"}]}',
        rb'{"detail": [{"loc": ["a"], "msg": "m", "ctx": {"\ud83d": "\ud83d"}}]}',
        rb'{"detail": "d", "error_type": "\ud83d"}',
        b'{"detail": [{"loc": ["a"], "msg": "m", "ctx": {"limit": NaN, "more": [1e999, -Infinity]}}]}',
        b'{"detail": "d", "error_type": {"a": NaN}}',
    ],
    ids=[
        "no loc",
        "loc 5",
        "type object",
        "deep",
        "half detail",
        "half entry",
        "half ctx",
        "half type",
        "NaN",
        "NaN type",
    ],
)
async def test_an_odd_refusal_ends_its_job(store: RedisServer, emulator: Emulator, body: bytes) -> None:
    """Failed at the first read, the money disputed, and shown as strict JSON everywhere."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        job = await ended(pipeline, fal, COMPLETED, Reply(422, body=body))
        assert (job.status, job.money) == (Status.FAILED, Money.DISPUTED)
        view = await shown(stack, job.id)
        assert view["error"]["code"] == "upstream_rejected_input"


async def test_a_name_of_megabytes_is_cut(store: RedisServer, emulator: Emulator) -> None:
    """A clip's name, type and size are shown where they are well-formed; the view stays small."""
    video = {
        "url": "https://v3.fal.media/files/a/output.mp4",
        "file_name": "n" * 900_000,
        "content_type": "t" * 50_000,
        "file_size": -1,
    }
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        job = await ended(pipeline, fal, COMPLETED, Reply(200, body=json.dumps({"video": video}).encode()))
        assert job.status is Status.SUCCEEDED
        assert (job.output or {})["video"] == {"url": video["url"], "file_name": "n" * 255}
        assert len((await stack.api.get(f"/v1/jobs/{job.id}")).text) < 4000


async def test_a_record_of_an_older_version_is_shown(store: RedisServer, emulator: Emulator) -> None:
    """NaN and infinities, stored as fal sent them: shown as null in lists, the feed and the fal-compatible API."""
    error = (
        '{"code":"upstream_rejected_input","message":"m","retryable":false,"upstream":{"status":422,"detail":"d",'
        '"error_type":{"a":NaN},"entries":[{"loc":[],"msg":"m","ctx":{"limit":NaN,"least":-Infinity}}]}}'
    )
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        job = await ended(pipeline, fal, COMPLETED, Reply(422, body=b'{"detail": "d"}'))
        await pipeline.write(job.id, error=error)
        await rewrite_events(pipeline, job.id, error=error)
        view = await shown(stack, job.id)
        assert view["error"]["upstream"]["entries"][0]["ctx"] == {"limit": None, "least": None}
        app = "/".join(job.model.split("/")[:2])
        door = await stack.api.get(f"/fal/queue/{app}/requests/{job.id}", headers=fal_key(stack))
        assert door.status_code == 422
        strict(door.text)


async def test_a_clip_of_an_older_version_is_shown_without_megabytes(pipeline: Pipeline) -> None:
    """Names and types of megabytes are left out when read, and the clip is kept."""
    job = await pipeline.ended()
    video = {"url": "https://v3.fal.media/files/a/output.mp4", "file_name": "n" * 900_000, "file_size": 7}
    await pipeline.write(job.id, output=json.dumps({"video": video}))
    view = await shown(pipeline.stack, job.id)
    assert view["output"]["video"] == {"url": video["url"], "file_size": 7}


@pytest.mark.parametrize("field", ["error", "output", "logs", "metadata", "submitted_ms", "images"])
async def test_one_odd_field_of_a_record_closes_no_list(pipeline: Pipeline, field: str) -> None:
    """Unreadable fields of a record are left out; the job is shown with the others."""
    job = await pipeline.ended()
    await pipeline.write(job.id, **{field: '{"half'})
    assert (await shown(pipeline.stack, job.id))["status"] == "succeeded"


def fal_key(stack: Stack) -> dict[str, str]:
    """The account's key as fal's clients send it."""
    return {"Authorization": f"Key {stack.account.key}"}


async def test_what_is_erased_is_erased_in_errors_too(store: RedisServer, emulator: Emulator) -> None:
    """Fal's message may repeat the prompt: after DELETE none of it is stored; code, status and type stay."""
    prompt = "a-secret-that-fal-repeats"
    found = {"loc": ["body", prompt], "msg": f"bad word in {prompt}", "type": "value_error", "ctx": {"got": prompt}}
    body = json.dumps({"detail": [found], "error_type": "bad_request"}).encode()
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        job = await ended(pipeline, fal, COMPLETED, Reply(422, body=body))
        assert prompt in str(job.error)
        assert (await stack.api.delete(f"/v1/jobs/{job.id}")).status_code == 204
        error = (await shown_alone(stack, job.id))["error"]
        assert error["code"] == "upstream_rejected_input"
        assert error["upstream"] == {"status": 422, "error_type": "bad_request"}
        assert prompt not in str((await Snapshot.read(pipeline.redis)).values)


async def test_two_jobs_with_one_id_of_fals_ring_an_alarm(store: RedisServer, emulator: Emulator) -> None:
    """At the second job, whether the first runs or has ended; the same id for the same job raises no alarm."""
    async with Receiver() as fal, open_stack(store, emulator, FILMGATE_FAL_QUEUE_URL=fal.url) as stack:
        pipeline = Pipeline(stack)
        first = await ended(pipeline, fal, COMPLETED, CLIP)
        assert await pipeline.store.claim_request(first, "abc-1") is None
        assert await pipeline.gateway.stores.alarms.newest(9) == []
        second = await ended(pipeline, fal, COMPLETED, CLIP)
        (alarm,) = await pipeline.gateway.stores.alarms.newest(9)
        assert (alarm.kind, alarm.job, alarm.upstream_request_id) == ("shared_request", second.id, "abc-1")
        assert first.id in alarm.message


async def shown_alone(stack: Stack, job_id: str) -> dict[str, Any]:
    """The job as it is shown."""
    reply = await stack.api.get(f"/v1/jobs/{job_id}")
    assert reply.status_code == 200
    view: dict[str, Any] = strict(reply.text)
    return view
